"""The one way in which a challenge stops being pending.

In: a challenge, the state it ends in. Out: whether it was this call that ended it.
Knows nothing of: why.
"""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from otpmail import audit, database, keys
from otpmail.clients import NOBODY, Client
from otpmail.deeds import Deed
from otpmail.models import Challenge, State
from otpmail.outcomes import describe
from otpmail.signals import challenge_ended

log = logging.getLogger("otpmail")


def end(
    challenge: Challenge, state: State, *, now: datetime, client: Client = NOBODY, **also: Any
) -> bool:
    """End a pending challenge, erase its random bytes, and tell ``challenge_ended``.

    All in one transaction: the caller's, or one of its own. ``also`` are columns to set with it.
    """
    with transaction.atomic(using=database.alias()):
        ended = (
            Challenge.objects.using(database.alias())
            .filter(pk=challenge.pk, ended_at=None)  # as in limits
            .update(state=state, ended_at=now, nonce=None, older_nonces=None, **also)
        )
        if not ended:
            return False
        challenge.state, challenge.ended_at, challenge.nonce = state, now, None
        challenge.older_nonces = None
        audit.write(Deed(state), challenge, now=now, client=client)
        challenge_ended.send(sender=Challenge, challenge=challenge, using=database.alias())
    return True


def expire(*, now: datetime, limit: int) -> int:
    """End up to so many challenges whose whole life is over. Returns how many there were."""
    return _end_all(_pending().filter(closes_at__lte=now), State.EXPIRED, now=now, limit=limit)


def revoke(*, now: datetime, limit: int) -> int:
    """End up to so many challenges whose key has left the ring. Returns how many there were."""
    orphans = _pending().exclude(key_id__in=list(keys.ring()))
    return _end_all(orphans, State.CANCELLED, now=now, limit=limit)


def _pending() -> QuerySet[Challenge]:
    return Challenge.objects.using(database.alias()).filter(state=State.PENDING)


def _end_all(over: QuerySet[Challenge], state: State, *, now: datetime, limit: int) -> int:
    challenges = list(over.order_by("closes_at")[:limit])
    for challenge in challenges:
        try:
            end(challenge, state, now=now)
        except Exception as error:  # noqa: BLE001 - a receiver that refuses one holds up no other
            log.error(  # noqa: TRY400 - its words can quote a row
                "Email challenge cannot end challenge=%s %s", challenge.pk, describe(error)
            )
    return len(challenges)
