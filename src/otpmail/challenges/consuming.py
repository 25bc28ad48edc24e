"""A right code whose step comes on a following page, such as the choice of a new password.

In: a challenge whose code was typed; later its id, and an owner (whose). Out: results.
Knows nothing of: codes.

What is held is bound to its owner and good once: `consume` confirms the challenge.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from otpmail import audit, closing, purposes, receipts
from otpmail.addresses.requester import NOBODY, Client
from otpmail.challenges import lookup
from otpmail.conf import settings
from otpmail.crypto import keys
from otpmail.db import arguments, database
from otpmail.db.statements import Update
from otpmail.limits import guesses_and_resends, lockout, rates
from otpmail.models import Challenge, ChallengeState
from otpmail.models.audit import AuditAction
from otpmail.results import AlreadyUsed, Ended, Held, NotFound, NotHeld, Verified


def hold(challenge: Challenge, client: Client, now: datetime) -> Held:
    """Keep it for as long as a code lives. Joins the transaction that has locked the challenge.

    It may outlast the challenge's own life; the code does not.
    """
    until = now + timedelta(seconds=settings.of(challenge.purpose).LIFE_SECONDS)
    _HOLD(pk=challenge.pk, until=until, closes_at=max(challenge.closes_at, until))
    lockout.give_back(challenge.owner)
    audit.write(AuditAction.HELD, challenge, now=now, client=client)
    return Held(held_until=until, recipient=challenge.recipient)


def consume(
    purpose: str, challenge_id: UUID | str, *, owner: str, client: Client = NOBODY
) -> Verified | NotHeld | AlreadyUsed | Ended | NotFound:
    """Confirm a challenge whose right code was typed before: ``verify(..., consume=False)``.

    Joins the caller's transaction, in which the step is done: both are kept, or none. Raises
    `NotHereError` if the challenge's key is not known here.
    """
    arguments.check(purpose=purpose, owner=owner, client=client)
    found = lookup.find(purpose, challenge_id, owner)
    if found is None:
        return NotFound()
    with database.atomic():
        challenge, now = lookup.locked(found[0].pk)
        if challenge.state != ChallengeState.PENDING:
            return lookup.over(challenge, now)
        if challenge.held_until is None or now >= challenge.held_until:
            return NotHeld()
        if keys.find(challenge.key_id) is None:  # revoked
            return _end(challenge, ChallengeState.CANCELLED, client, now)
        if purposes.unchanged_facts(challenge, lock=True) is None:
            return _end(challenge, ChallengeState.CHANGED, client, now)
        closing.close(challenge, ChallengeState.CONFIRMED, now=now, client=client)
        rates.remember(challenge.recipient, client, now)
        return verified(challenge, now)


def verified(challenge: Challenge, now: datetime) -> Verified:
    """Tell what a confirmed challenge proved."""
    return Verified(confirmed_at=now, receipt=receipts.of(challenge), recipient=challenge.recipient)


_HOLD = Update(
    Challenge,
    lambda pk, until, closes_at: (
        guesses_and_resends.pending(pk),
        {"held_until": until, "closes_at": closes_at, "failures": F("failures") - 1},
    ),
    pk="id",
    until="held_until",
    closes_at="closes_at",
)


def _end(challenge: Challenge, state: ChallengeState, client: Client, now: datetime) -> Ended:
    closing.close(challenge, state, now=now, client=client)
    return Ended(state=state)
