"""The one way in which a challenge stops being pending.

In: a challenge, the state it ends in. Out: whether it was this call that ended it.
Knows nothing of: why.
"""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import InternalError, ProgrammingError, connections, transaction
from django.db.models import F, Q, QuerySet

from otpmail import audit
from otpmail.addresses.requester import NOBODY, Client
from otpmail.conf import settings
from otpmail.db import database
from otpmail.db.statements import Select, Update, change, inserting
from otpmail.exceptions import RolledBackError
from otpmail.exceptions.foreign import ends_process
from otpmail.limits import guesses_and_resends
from otpmail.models import Challenge, ChallengeState
from otpmail.models.audit import AuditAction
from otpmail.outcomes.describing import log_fault
from otpmail.signals import challenge_ended

BATCH = 100
"""Challenges ended in one transaction by a sweep."""

_TAKEN_BACK = (
    "confirmed(), or a receiver of challenge_ended, rolled the transaction back and did not say "
    "so: it swallowed a database's error, or called set_rollback(). Nothing was kept. Let the "
    "error out, or do what may fail in an atomic() of its own."
)

log = logging.getLogger("otpmail")


def close(
    challenge: Challenge,
    state: ChallengeState,
    *,
    now: datetime,
    client: Client = NOBODY,
    gives_guess_back: bool = False,
) -> bool:
    """End a pending challenge, erase its random bytes, and tell ``challenge_ended``.

    All in one transaction: the caller's, or one of its own. Raises `RolledBackError` if a receiver
    took it back unseen.
    """
    given_back = int(gives_guess_back)
    ending = _END.bound(pk=challenge.pk, state=state, now=now, given_back=given_back)
    told = audit.entries(AuditAction(state), challenge, now=now, client=client)
    with database.atomic():
        if not change(ending, *map(inserting, told)):
            return False
        challenge.state, challenge.ended_at, challenge.nonce = state, now, None
        challenge.older_nonces = None
        challenge_ended.send(sender=Challenge, challenge=challenge, using=database.alias())
        check_closed(challenge)
    return True


def check_closed(challenge: Challenge) -> None:
    """Raise `RolledBackError` if what ran since it was ended took that back, and did not say so.

    A database is asked: MariaDB takes all back for a deadlock, PostgreSQL keeps nothing after any
    error, and Django need not know of either.
    """
    try:
        is_pending = bool(_IF_PENDING(pk=challenge.pk))
    except (ProgrammingError, InternalError) as error:  # Django or PostgreSQL: it is broken
        raise RolledBackError(_TAKEN_BACK) from error
    if is_pending:
        raise RolledBackError(_TAKEN_BACK)


_END = Update(
    Challenge,
    lambda pk, state, now, given_back: (
        guesses_and_resends.pending(pk),
        {
            "state": state,
            "ended_at": now,
            "nonce": None,
            "older_nonces": None,
            "failures": F("failures") - given_back,
        },
    ),
    pk="id",
    state="state",
    now="ended_at",
    given_back="failures",
)

_IF_PENDING = Select(
    Challenge, lambda pk: guesses_and_resends.pending(pk).values_list("pk"), pk="id"
)


def expire(*, now: datetime, seconds: float) -> bool:
    """End challenges whose whole life is over, for so many seconds at most.

    Processes that do so at once share the work. A challenge that a receiver refuses to end is
    passed over. Returns whether there is more that can be ended at once.
    """
    return _end_all(
        _pending().filter(closes_at__lte=now), ChallengeState.EXPIRED, now=now, seconds=seconds
    )


def revoke(*, now: datetime, seconds: float) -> bool:
    """End challenges whose key is named as revoked, as `expire` does."""
    if not settings.REVOKED_KEYS:
        return False
    theirs = _pending().filter(key_id__in=list(settings.REVOKED_KEYS))
    return _end_all(theirs, ChallengeState.CANCELLED, now=now, seconds=seconds)


class _Places(threading.local):
    """Where a thread's last sweep ran out of time: what is refused there holds up no other."""

    def __init__(self) -> None:
        self.after: dict[ChallengeState, tuple[datetime, UUID]] = {}


_places = _Places()


def _pending() -> QuerySet[Challenge]:
    return Challenge.objects.filter(state=ChallengeState.PENDING)


def _end_all(
    over: QuerySet[Challenge], state: ChallengeState, *, now: datetime, seconds: float
) -> bool:
    until, ended = time.monotonic() + seconds, 0
    while batch := _next(over, _places.after.get(state)):
        looked_at, ended_now = _end_batch([pk for _, pk in batch], state, now=now, until=until)
        ended += ended_now
        _places.after[state] = batch[looked_at - 1]
        if looked_at == len(batch) < BATCH:
            break
        if time.monotonic() >= until:
            return ended > 0
    _places.after.pop(state, None)
    return False


def _next(
    over: QuerySet[Challenge], after: tuple[datetime, UUID] | None
) -> list[tuple[datetime, UUID]]:
    """Read, without a lock, which challenges come next: when they closed, and their ids."""
    if after is not None:
        closed, pk = after
        behind = Q(closes_at__gt=closed) | Q(closes_at=closed, pk__gt=pk)
        over = over.filter(behind, closes_at__gte=closed)
    return list(over.order_by("closes_at", "pk").values_list("closes_at", "pk")[:BATCH])


def _end_batch(
    ids: Sequence[UUID], state: ChallengeState, *, now: datetime, until: float
) -> tuple[int, int]:
    """End them in one transaction, while there is time. Returns how many it saw, and ended.

    Those that another process holds are its own affair.
    """
    with database.atomic():
        free = _locked(ids)
        ended = {}
        for pk in ids:
            ended[pk] = pk in free and _try_to_end(free[pk], state, now=now)
            is_broken = transaction.get_rollback(using=database.alias())
            if is_broken or time.monotonic() >= until:
                break
    if is_broken:  # MariaDB takes all back for one deadlock; each alone, then
        ended = {pk: pk in free and _try_to_end(free[pk], state, now=now) for pk in ended}
    return len(ended), sum(ended.values())


def _locked(ids: Sequence[UUID]) -> dict[UUID, Challenge]:
    # By key, and by `ended_at` as in limits: MariaDB would lock an index before the rows.
    skip_locked = connections[database.alias()].features.has_select_for_update_skip_locked
    rows = Challenge.objects.filter(pk__in=ids, ended_at=None)
    return {row.pk: row for row in rows.select_for_update(skip_locked=skip_locked)}


def _try_to_end(challenge: Challenge, state: ChallengeState, *, now: datetime) -> bool:
    try:
        return close(challenge, state, now=now)
    except BaseException as error:  # a receiver that refuses one holds up no other
        if ends_process(error):
            raise
        log_fault(log, f"Email challenge cannot end challenge={challenge.pk}", error)
        return False
