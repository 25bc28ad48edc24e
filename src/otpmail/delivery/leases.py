"""Who works on a delivery: its lease, which only one holder has at a time.

A delivery that is due is claimed, or born held; its holder reads it, renews, declines or releases
it; a lease that lapsed, or whose holder died, is reaped. Each write names the lease it stands on,
so one that lost its lease writes nothing.

In: holders, the time. Out: deliveries as they were read, rows that are leased.
Knows nothing of: what becomes of a delivery, codes, mails.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import QuerySet
from django.views.decorators.debug import sensitive_variables

from otpmail.conf import settings
from otpmail.db import database
from otpmail.delivery import fresh_rows, holders, lease_rows
from otpmail.models import Delivery, Queue

DECLINED = (
    (timedelta(seconds=5), 0),
    (timedelta(seconds=60), 1),
    (timedelta.max, 5),
)
"""How long ago a mail was enqueued, and how many seconds it is left alone when it is declined."""


OLDEST_SHARE = 4
"""Of a claim that cannot take all, one in so many is the oldest, so that it does not starve."""


def claim(
    holder: str,
    *,
    queue: Queue,
    now: datetime,
    limit: int,
    only: Collection[UUID] | None = None,
    but: Collection[UUID] = (),
    due_by: datetime | None = None,
    is_dead: bool = False,
) -> dict[UUID, float]:
    """Lease up to so many deliveries of a queue that are due and nobody's.

    Gives how many seconds each has been due, the oldest first. Where more codes are due than that,
    one of four is among the oldest and the others are the youngest: their readers still wait.

    ``only`` are those that a hint named; without it, all are looked at, save ``but``. ``due_by`` is
    a moment before ``now`` for who leaves to others what has not been due for long. ``is_dead``
    asks for those alone that are past their deadline.
    """
    due_by = due_by or now
    if only is not None and len(only) == 1 and not is_dead:
        (delivery_id,) = only
        is_out = limit <= 0 or delivery_id in but
        return {} if is_out else _claim_one(delivery_id, holder, queue, now, due_by)
    free = lease_rows.free(queue, due_by)
    if only is not None:
        free = free.filter(pk__in=only)
    if but:
        free = free.exclude(pk__in=but)
    if is_dead:
        free = free.filter(deadline__lte=now)
    if only is None and not lease_rows.ANY_FREE(queue=queue, due_by=due_by):
        return {}  # the usual case takes no lock
    with database.atomic():
        found = _choose(free, limit, youngest_first=queue is Queue.CODE)
        free.filter(pk__in=found).update(leased_by=holder, leased_until=lease_end(now))
        mine = lease_rows.held_by(holder).filter(pk__in=found).order_by("due_at")
        claimed = _since_due(mine.values_list("pk", "due_at"), now)
    fresh_rows.forget(claimed)
    return claimed


def _claim_one(
    delivery_id: UUID, holder: str, queue: Queue, now: datetime, due_by: datetime
) -> dict[UUID, float]:
    """Claim one that a hint named: no other row is locked, so nobody can wait crosswise."""
    row = {"pk": delivery_id, "holder": holder}
    with database.atomic(savepoint=False):
        if not lease_rows.CLAIM(**row, queue=queue, due_by=due_by, until=lease_end(now)):
            return {}
        claimed = _since_due(lease_rows.DUE_AT(**row), now)
    fresh_rows.forget(claimed)
    return claimed


def _since_due(rows: Iterable[Sequence[Any]], now: datetime) -> dict[UUID, float]:
    return {pk: (now - due_at).total_seconds() for pk, due_at in rows}


def due_of(holder: str, *, now: datetime) -> list[tuple[UUID, Queue]]:
    """Name what this holder holds and is due, with its queue."""
    return [(pk, Queue(queue)) for pk, queue in lease_rows.DUE(holder=holder, now=now)]


@sensitive_variables()
def read(delivery_ids: Collection[UUID], holder: str) -> list[tuple[Delivery, datetime]]:
    """Read those deliveries that this holder still holds, with what they carry and the time."""
    return lease_rows.READ(ids=[*delivery_ids], holder=holder)


def read_again(deliveries: Collection[Delivery], holder: str) -> list[Delivery]:
    """Read what may have ended their challenges meanwhile. Returns those still held."""
    if not deliveries:
        return []
    told = lease_rows.READ_AGAIN(ids=[delivery.pk for delivery in deliveries], holder=holder)
    read = {pk: (state, generation) for pk, state, generation in told}
    for delivery in deliveries:
        if delivery.pk in read and delivery.challenge is not None:
            delivery.challenge.state, delivery.challenge.generation = read[delivery.pk]
    return [delivery for delivery in deliveries if delivery.pk in read]


def extend_if_short(delivery: Delivery, holder: str, *, now: datetime) -> bool:
    """Lengthen a lease that runs short before work begins. Returns False if it was lost.

    A row may have waited in memory for most of its lease; a fresh one costs no write here.
    """
    half = timedelta(seconds=settings.LEASE_SECONDS / 2)
    if delivery.leased_until is not None and delivery.leased_until - now >= half:
        return True
    return lease_rows.KEEP(pk=delivery.pk, holder=holder, until=lease_end(now)) == 1


def renew(delivery_ids: Collection[UUID], holder: str, *, now: datetime) -> None:
    """Lengthen the leases that run short of deliveries that are being worked on."""
    short = now + timedelta(seconds=settings.LEASE_SECONDS / 2)
    if delivery_ids:
        lease_rows.RENEW(
            ids=[*delivery_ids], holder=holder, now=now, short=short, until=lease_end(now)
        )


def is_behind(*, now: datetime, seconds: float) -> bool:
    """Tell whether a code's mail that was due so long ago still waits for a courier."""
    since = now - timedelta(seconds=seconds)
    # A lease is counted from the moment when its mail was due, or was last worked on.
    return bool(
        lease_rows.ANY_FREE(queue=Queue.CODE, due_by=since)
        or lease_rows.ANY_LEASED(queue=Queue.CODE, until=lease_end(since))
    )


def release(
    holder: str, *, but: Collection[UUID] = (), only: Collection[UUID] | None = None
) -> int:
    """Give back all that this holder holds, or only some, save what it still works on."""
    if only is not None:
        ids = [one for one in only if one not in but]
        return lease_rows.RELEASE(ids=ids, holder=holder) if ids else 0
    if not but:
        return lease_rows.RELEASE_ALL(holder=holder)
    return lease_rows.held_by(holder).exclude(pk__in=but).update(**lease_rows.NOBODYS)


def decline(deliveries: Collection[Delivery], holder: str, *, now: datetime) -> None:
    """Free those that this holder's process cannot send now, for others or for later.

    A fresh one is due at once, behind those that were due before; an older one later, so that what
    nobody can send is not looked at again and again.
    """
    for delivery in deliveries:
        age = now - delivery.created_at
        seconds = next(wait for until, wait in DECLINED if age < until)
        lease_rows.DECLINE(pk=delivery.pk, holder=holder, due_at=now + timedelta(seconds=seconds))


def reap(*, now: datetime) -> list[UUID]:
    """Take leases from holders that let them lapse or died. Returns what was theirs."""
    dead = [holder for (holder,) in lease_rows.HOLDERS() if holders.is_dead(holder)]
    if dead:
        found = [*lease_rows.lost(now, dead).values_list("pk", flat=True)[: lease_rows.REAP_LIMIT]]
    else:
        found = [pk for (pk,) in lease_rows.LAPSED(now=now)]
    if found:  # the usual case takes no write lock
        # By key, as whoever settles one writes: in two orders MariaDB would find a deadlock.
        lease_rows.lost(now, dead).filter(pk__in=found).update(**lease_rows.NOBODYS)
    return found


def _choose(free: QuerySet[Delivery], limit: int, *, youngest_first: bool) -> list[UUID]:
    """Lock up to so many: the oldest, or where there are more, few of them and the youngest."""
    skip_locked = connections[database.alias()].features.has_select_for_update_skip_locked
    keys = free.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True)
    share = max(1, limit // OLDEST_SHARE) if youngest_first else limit
    oldest = list(keys.order_by("due_at")[:share])
    if len(oldest) < share or share == limit:
        return oldest
    youngest = keys.exclude(pk__in=oldest).order_by("-due_at")
    return oldest + list(youngest[: limit - share])


def lease_end(now: datetime) -> datetime:
    """Say when a lease ends that begins now."""
    return now + timedelta(seconds=settings.LEASE_SECONDS)
