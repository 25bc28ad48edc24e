"""Rows that this process has just committed: the first round with each need not read it.

1. What is kept is a copy, with all that hangs on it, as it was written and would be read.
2. It is given once, and only to the holder that the row is leased to. It is not given when half of
   the lease is over, after the row was given back and claimed again, or to a forked child: then the
   round reads.
3. A process keeps so many at most. What is large, or over that, is read.

What changed in the meantime is seen by the look before the envelope, which reads in the database.

In: deliveries that were put and committed. Out: copies of them, with the time.
Knows nothing of: rounds, engines.
"""

import os
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Model
from django.views.decorators.debug import sensitive_variables

from otpmail.conf import settings
from otpmail.db import database
from otpmail.db.database import Clock
from otpmail.models import Delivery, DeliveryState, Queue

MOST = 200
"""Rows that are kept at once."""

MOST_OCTETS = 32 * 1024
"""Of a stored message's content: all that are kept take a few megabytes."""


@dataclass(frozen=True, slots=True)
class _Fresh:
    delivery: Delivery
    clock: Clock
    until: datetime

    @property
    def is_good(self) -> bool:
        return self.clock() < self.until


_lock = threading.Lock()
_kept: dict[UUID, _Fresh] = {}  # the oldest first


@sensitive_variables()
def copies(deliveries: Iterable[Delivery]) -> Sequence[Delivery]:
    """Copy those that were put with a holder and are small, for `keep`."""
    return [_copy(delivery) for delivery in deliveries if _is_fit(delivery)]


@sensitive_variables()
def keep(deliveries: Collection[Delivery], clock: Clock) -> None:
    """Keep copies, as far as there is room. Their rows are committed."""
    half = timedelta(seconds=settings.LEASE_SECONDS / 2)
    with _lock:
        while _kept and not next(iter(_kept.values())).is_good:
            del _kept[next(iter(_kept))]
        for delivery in deliveries:
            if len(_kept) < MOST and delivery.leased_until is not None:
                _kept[delivery.pk] = _Fresh(delivery, clock, delivery.leased_until - half)


@sensitive_variables()
def take(delivery_ids: Collection[UUID], holder: str) -> list[tuple[Delivery, datetime]]:
    """Take those that are kept for this holder, each with the database's time now."""
    with _lock:
        found = [_kept.pop(one) for one in delivery_ids if one in _kept]
    return [
        (fresh.delivery, fresh.clock())
        for fresh in found
        if fresh.delivery.leased_by == holder and fresh.is_good
    ]


def forget(delivery_ids: Iterable[UUID]) -> None:
    """Forget rows that another may have had in hand since."""
    with _lock:
        for delivery_id in delivery_ids:
            _kept.pop(delivery_id, None)


def _is_fit(delivery: Delivery) -> bool:
    if not delivery.leased_by or delivery.state != DeliveryState.QUEUED:
        return False
    return delivery.queue == Queue.CODE or len(delivery.stored.content) <= MOST_OCTETS


def _copy(delivery: Delivery) -> Delivery:
    copy = _as_read(delivery)
    if delivery.challenge is None:
        copy.stored = _as_read(delivery.stored)
    else:
        copy.challenge = _as_read(delivery.challenge)
    return copy


def _as_read[M: Model](row: M) -> M:
    names = [field.attname for field in row._meta.concrete_fields]
    return type(row).from_db(database.alias(), names, [getattr(row, name) for name in names])


def _forget_in_child() -> None:
    # They are the parent's to send; its lock may be held by a thread that did not come along.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _kept.clear()


os.register_at_fork(after_in_child=_forget_in_child)
