"""What still waited in a dump is dropped, or released for the couriers here; after a restore, once.

In: a moment, and which of the two. Out: how many deliveries there were, and what became of them.
Knows nothing of: how a database is dumped.

Rows are walked by their key, in steps of `STEP` with a transaction each, so that it may be run
again after it was cut off: what is settled, or nobody's, is left alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from otpmail import signals
from otpmail.db import database
from otpmail.delivery import holders, settling
from otpmail.exceptions import foreign
from otpmail.models import Delivery, DeliveryState, Reason

STEP = 500
"""Rows a transaction."""

type _Lease = tuple[UUID, str]


@dataclass(slots=True)
class Restored:
    """How many deliveries were queued, and how many of them were dropped or released."""

    queued: int = 0
    taken: int = 0
    kept: int = 0
    """Held by processes that live on this host, and left to them; when all is dropped, none is."""


def drop(enqueued_before: datetime, *, dry_run: bool = False) -> Restored:
    """Drop what was enqueued before; stored messages are erased, and codes can still be typed.

    Whoever waits for a code is told by `challenges.status` to ask again.
    """
    result = Restored()
    for step in _walk(enqueued_before):
        result.queued += len(step)
        ids = [pk for pk, _ in step]
        result.taken += len(ids) if dry_run else _drop(ids)
    return result


def release(enqueued_before: datetime, *, dry_run: bool = False) -> Restored:
    """Take the leases of holders that are dead, or elsewhere, so that couriers here send the mails.

    A process that lives on this host keeps its own: if it holds them in another database, they
    lapse.
    """
    result = Restored()
    for step in _walk(enqueued_before):
        result.queued += len(step)
        leased = [(pk, holder) for pk, holder in step if holder]
        theirs = [pk for pk, holder in leased if not holders.lives_here(holder)]
        result.kept += len(leased) - len(theirs)
        now = database.now()
        result.taken += len(theirs if dry_run else settling.take_over(theirs, None, now=now))
    return result


def _drop(ids: list[UUID]) -> int:
    rows = Delivery.objects.select_related("challenge", "stored")
    told = rows.defer("stored__content").in_bulk(ids)  # before what the log tells of it is erased
    taken = settling.take_over(ids, Reason.RESTORED, now=database.now())
    for pk in taken:
        delivery = told[pk]
        delivery.state, delivery.reason = DeliveryState.DROPPED, Reason.RESTORED
        foreign.send_signal(
            signals.delivery_dropped,
            sender=Delivery,
            delivery=delivery,
            challenge=delivery.challenge,
        )
    return len(taken)


def _walk(enqueued_before: datetime) -> Iterator[list[_Lease]]:
    rows = Delivery.objects.filter(state=DeliveryState.QUEUED, created_at__lt=enqueued_before)
    leases = rows.order_by("pk").values_list("pk", "leased_by")
    step = list(leases[:STEP])
    while step:
        yield step
        step = list(leases.filter(pk__gt=step[-1][0])[:STEP])
