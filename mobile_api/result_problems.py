"""What otpmail found, as HTTP answers: one table from results to problems.

In: a result of otpmail. Out: the problem it is, with what the caller can do next.
Knows nothing of: requests, rows.
"""

from mobile_api import problems
from mobile_api.problems import Kind, Problem
from otpmail.models import ChallengeState
from otpmail.results import (
    AlreadyUsed,
    Cap,
    Ended,
    InvalidAddress,
    Malformed,
    NotFound,
    OtherChallenge,
    OverCap,
    Superseded,
    TooSoon,
    Wrong,
)

type Refusal = (
    InvalidAddress
    | Malformed
    | Wrong
    | OtherChallenge
    | Superseded
    | AlreadyUsed
    | Ended
    | NotFound
    | TooSoon
    | OverCap
)

ENDINGS: dict[ChallengeState, tuple[Kind, str]] = {
    ChallengeState.EXPIRED: (problems.EXPIRED, "The code's time is over."),
    ChallengeState.EXHAUSTED: (
        problems.EXHAUSTED,
        "Too many wrong codes: the transfer was cancelled.",
    ),
    ChallengeState.CANCELLED: (
        problems.CANCELLED,
        "The transfer was cancelled. No money was moved.",
    ),
    ChallengeState.CHANGED: (
        problems.CHANGED,
        "The transfer is no longer what the code was sent for, so it was cancelled.",
    ),
    ChallengeState.SUPERSEDED: (
        problems.SUPERSEDED,
        "As many newer transfers as may wait for their codes do, so this one was cancelled.",
    ),
}

CAPS: dict[Cap, str] = {
    Cap.SENDS: "As many mails as may be sent for this code were sent.",
    Cap.RECIPIENT: "As many codes as may be sent were sent to your address.",
    Cap.CLIENT: "As many codes as may be asked for from here were asked for.",
    Cap.FAILURES: "Too many wrong codes were typed for you, so new ones have to wait.",
}


def problem_of(result: Refusal) -> Problem:
    """Tell which problem a result is."""
    match result:
        case Malformed(digits=digits):
            detail = f"That is no code: a code has {digits} digits. No guess was spent."
            return Problem(problems.MALFORMED_CODE, detail, digits=digits)
        case Wrong() | OtherChallenge() | Superseded():
            return _wrong(result)
        case AlreadyUsed(confirmed_at=confirmed_at):
            detail = "This code was used before, and is good only once."
            return Problem(problems.ALREADY_USED, detail, confirmed_at=confirmed_at)
        case Ended(state=state, can_resend=can_resend):
            kind, detail = ENDINGS[state]
            return Problem(kind, detail, can_resend=can_resend)
        case NotFound():
            return Problem(problems.NO_SUCH_TRANSFER, "You have no such transfer.")
        case TooSoon() | OverCap() | InvalidAddress():
            return _not_mailed(result)


def _wrong(result: Wrong | OtherChallenge | Superseded) -> Problem:
    left = result.guesses_left
    match result:
        case Wrong():
            detail = f"That is not the code. Guesses left: {left}."
            return Problem(problems.INCORRECT, detail, guesses_left=left)
        case OtherChallenge(reference=reference):
            detail = f"That is the code of another of your transfers, with reference {reference}."
            return Problem(problems.OTHER_TRANSFER, detail, guesses_left=left)
        case Superseded(can_resend=can):
            detail = "That is the code of an older mail: a newer one took its place."
            return Problem(problems.SUPERSEDED, detail, guesses_left=left, can_resend=can)


def _not_mailed(result: TooSoon | OverCap | InvalidAddress) -> Problem:
    if isinstance(result, InvalidAddress):
        detail = "The address that we have of you takes no mail, so no code can be sent."
        return Problem(problems.NO_ADDRESS, detail)
    if isinstance(result, OverCap):
        return Problem(problems.RATE_LIMITED, CAPS[result.cap], retry_at=result.retry_at)
    detail = "A mail was sent a moment ago; it may still be on its way."
    return Problem(problems.TOO_SOON, detail, retry_at=result.retry_at)
