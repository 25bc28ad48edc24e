"""An owner ends what is pending: one challenge (`cancel`), or all (`cancel_all`).

In: a purpose, a challenge's id, an owner (whose), who asks. Out: results.
Knows nothing of: what a challenge is bound to; whoever hears ``challenge_ended`` ends that too.
"""

from uuid import UUID

from otpmail import closing
from otpmail.addresses.requester import NOBODY, Client
from otpmail.challenges import lookup
from otpmail.db import arguments, database
from otpmail.limits import lockout
from otpmail.models import ChallengeState
from otpmail.results import AlreadyUsed, Cancelled, Ended, NotFound


def cancel(
    purpose: str, challenge_id: UUID | str, *, owner: str, client: Client = NOBODY
) -> Cancelled | AlreadyUsed | Ended | NotFound:
    """End a pending challenge, and with it what it was bound to. Joins the caller's transaction."""
    arguments.check(purpose=purpose, owner=owner, client=client)
    found = lookup.find(purpose, challenge_id, owner)
    if found is None:
        return NotFound()
    challenge, now = found
    if closing.close(challenge, ChallengeState.CANCELLED, now=now, client=client):
        return Cancelled()
    with database.atomic():  # a locking read: no snapshot of before
        return lookup.over(*lookup.locked(challenge.pk))


def cancel_all(*, owner: str, purpose: str | None = None, client: Client = NOBODY) -> int:
    """End all that an owner has pending, of one purpose or of each: after a sign-out, say.

    Returns how many there were. Joins the caller's transaction: all end, or none.
    """
    arguments.check_all(purpose=purpose, owner=owner, client=client)
    with database.atomic():
        lockout.lock(owner)  # who issues locks several of them too, in an order of its own
        pending = lookup.pending_of(owner, purpose=purpose)
        ended = [
            closing.close(one, ChallengeState.CANCELLED, now=now, client=client)
            for one, now in pending
        ]
    return sum(ended)
