"""What a person's step came to. A mistake is a result, never an exception.

Match on the class: each tells its own members, and what the person can do next.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from uuid import UUID

from otpmail.models import ChallengeState


class MailStatus(StrEnum):
    """How far a mail has come, in one word."""

    QUEUED = "queued"
    DELAYED = "delayed"
    """Not taken at once, or taken and not let in at once; it is tried again."""
    ACCEPTED = "accepted"
    """A mail server took it. No more is known."""
    DELIVERED = "delivered"
    """A provider reports that the recipient's server took it."""
    BOUNCED = "bounced"
    """A provider reports that it came back, or was not sent on."""
    FAILED = "failed"
    DROPPED = "dropped"


class NextStep(StrEnum):
    """What the person who waits for a mail can do."""

    WAIT = "wait"
    TYPE_CODE = "type-code"
    ASK_AGAIN = "ask-again"
    CHECK_ADDRESS = "check-address"
    NOTHING = "nothing"
    """It is over: the code was used, or will not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a mail has come, and what to do meanwhile."""

    status: MailStatus
    next_step: NextStep
    reason: str = ""
    """Why it failed or was dropped: one of `otpmail.models.Reason`."""
    rounds: int = 0
    took_ms: int | None = None
    """Milliseconds from enqueue to the latest known event; None before any."""
    poll_after_ms: int | None = None
    """When it is worth to ask again; None when nothing more will come."""
    slow: bool = False
    """Mail is slow now, this one and others: what is due waits too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeView:
    """What a person may see of a challenge and its newest mail."""

    reference: str
    recipient: str
    """Masked: ``a***@example.org``."""
    digits: int
    expires_at: datetime
    resend_at: datetime
    guesses_left: int
    delivery: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued(ChallengeView):
    """A challenge stands and its mail is enqueued, once the caller's transaction commits."""

    challenge_id: UUID
    sends_left: int
    continued: bool = False
    """It stood before: the same was asked for again, while its code could still be typed."""
    mailed: bool = True
    """Whether one more mail is enqueued now; else the newest code has to do until ``resend_at``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(ChallengeView):
    """How far a challenge and its newest mail have come."""

    state: ChallengeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(ChallengeView):
    """A challenge whose code can still be typed, or sent again."""

    challenge_id: UUID
    purpose: str
    sends_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidAddress:
    """No mail can be sent to what was given. ``reason`` says why, and does not repeat it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoneIssued:
    """None of several codes is issued, since the one at ``position`` (from 0) is not."""

    position: int
    why: "OverCap | InvalidAddress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """One more mail is enqueued. A new ``generation`` means a new code: the older is dead."""

    generation: int
    expires_at: datetime
    resend_at: datetime
    sends_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooSoon:
    """The cool-down is not over; ask again at ``retry_at``."""

    retry_at: datetime


class Cap(Enum):
    """What there was too much of."""

    SENDS = "sends"
    """Mails for this challenge."""
    RECIPIENT = "recipient"
    """Mails to this address."""
    CLIENT = "client"
    """Mails that this client asked for."""
    FAILURES = "failures"
    """Wrong codes of this owner, over all its challenges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverCap:
    """No more mails; ask again at ``retry_at``, or never if it is None. Nothing was spent."""

    retry_at: datetime | None
    cap: Cap = Cap.SENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The right code: the challenge is confirmed, and what it stood for is done."""

    confirmed_at: datetime
    receipt: str
    """Proof of it, to be kept with what was done: see ``otpmail.receipts``."""
    recipient: str = field(repr=False)
    """The address that was proven, in full: no other was, whatever stands in a form by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The right code, and until ``held_until`` the step that it was typed for can be taken, once.

    See ``challenges.consume``.
    """

    held_until: datetime
    recipient: str = field(repr=False)
    """The address that was proven, in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotHeld:
    """No right code was typed for this challenge, or too long ago: ask for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """No code of this length, so no guess of this challenge was spent."""

    digits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Not the code, and a guess was spent."""

    guesses_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherChallenge:
    """The code of another open challenge of the same owner and purpose, as of another tab.

    A guess was spent of this challenge, if the code is as long as its own, and of each other that
    it was compared with.
    """

    challenge_id: UUID
    """The one whose code it is."""
    reference: str
    """That one's, as its mail has it."""
    guesses_left: int
    """Of the challenge for which it was typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """The code of an older generation: a guess was spent, and the newest mail has the live code.

    ``can_resend``: a resend can make a newer one still.
    """

    guesses_left: int
    can_resend: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyUsed:
    """The code was right before."""

    confirmed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """It is over: expired, exhausted, cancelled, changed or, by a newer challenge, superseded.

    ``can_resend``: only this generation is over, and a resend makes a new code.
    """

    state: ChallengeState
    can_resend: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Ended as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """No such challenge, or somebody else's: both look alike."""
