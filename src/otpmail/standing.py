"""Where a challenge stands: whose it is, what they may see of it, why it takes no code now.

In: a challenge or its id, a subject, the time. Out: the row, or a result.
Knows nothing of: what is done with it.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from otpmail import progress
from otpmail.masking import mask
from otpmail.models import Challenge, Delivery, State
from otpmail.purposes import Purpose
from otpmail.results import AlreadyUsed, Ended, Shown


def find(purpose: str, challenge_id: UUID, subject: str) -> Challenge | None:
    """Read a challenge of this subject. Another's looks like none."""
    # Asked for whole: a row of somebody else's, read and thrown away, would take longer than none.
    rows = Challenge.objects.all()
    challenge = rows.filter(pk=challenge_id, purpose=purpose, subject=subject).first()
    return challenge if challenge and is_mine(challenge, purpose, subject) else None


def locked(challenge_id: UUID) -> Challenge:
    """Read it as it stands after whoever decides just now. Joins the caller's transaction."""
    rows = Challenge.objects.select_for_update()
    return rows.get(pk=challenge_id)


def is_mine(challenge: Challenge, purpose: str, subject: str) -> bool:
    """Tell whether it is of this purpose and subject, to the letter."""
    # Compared again: a database's collation may hold 'alice' and 'ALICE' to be one.
    return (challenge.purpose, challenge.subject) == (purpose, subject)


def shown[S: Shown](
    result: Callable[..., S],
    challenge: Challenge,
    delivery: Delivery,
    *,
    now: datetime,
    **own: object,
) -> S:
    """Make the result that shows a challenge and one of its mails; ``own`` is what else it has."""
    return result(
        reference=challenge.reference,
        recipient=mask(challenge.recipient),
        digits=challenge.digits,
        expires_at=challenge.expires_at,
        resend_at=challenge.resend_at,
        guesses_left=max(0, Purpose(challenge.purpose).guesses - challenge.failures),
        delivery=progress.of(challenge, delivery, now=now),
        **own,
    )


def over(challenge: Challenge, now: datetime) -> AlreadyUsed | Ended:
    """Say why a challenge takes no code now."""
    if challenge.state == State.CONFIRMED and challenge.ended_at is not None:
        return AlreadyUsed(confirmed_at=challenge.ended_at)
    if challenge.state != State.PENDING:
        return Ended(state=State(challenge.state))
    rules = Purpose(challenge.purpose)
    if challenge.failures >= rules.guesses:
        return Ended(state=State.EXHAUSTED)
    return Ended(state=State.EXPIRED, can_resend=can_reissue(challenge, rules, now))


def can_reissue(challenge: Challenge, rules: Purpose, when: datetime) -> bool:
    """Tell whether a resend at that moment can make the next generation."""
    has_life = challenge.closes_at - when > rules.dead_mail
    has_guesses = challenge.failures < rules.guesses
    return has_life and has_guesses and challenge.generation < rules.generations
