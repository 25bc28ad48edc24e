"""The rows on which a lease stands, and what is asked of them: each statement is written once.

In: holders, moments. Out: queries, and statements of a round, of a hint, and of a sweep that finds
nothing.
Knows nothing of: how long a lease is, who is dead.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from otpmail.db.sql_text import Slot, each
from otpmail.db.statements import Find, Select, Update
from otpmail.models import Delivery, DeliveryState, Queue

REAP_LIMIT = 1000
"""Leases taken back a call; a process that died with more leaves them to the next sweeps."""


def held_by(holder: str) -> QuerySet[Delivery]:
    """Find what a holder holds."""
    return Delivery.objects.filter(leased_by=holder, state=DeliveryState.QUEUED)


def lost(now: datetime, dead: Collection[str] = ()) -> QuerySet[Delivery]:
    """Find leases that lapsed, or are of these holders."""
    gone = Q(leased_until__lte=now)
    return leased().filter(gone | Q(leased_by__in=dead) if dead else gone)


def leased() -> QuerySet[Delivery]:
    """Find all that is leased."""
    return Delivery.objects.filter(leased_until__isnull=False)


def free(queue: Queue, due_by: datetime) -> QuerySet[Delivery]:
    """Find what is due by then and nobody's."""
    return Delivery.objects.filter(
        state=DeliveryState.QUEUED, leased_by="", queue=queue, due_at__lte=due_by
    )


NOBODYS: dict[str, Any] = {"leased_by": "", "leased_until": None}

MINE: dict[str, Slot] = {"ids": each("id"), "holder": "leased_by"}


def held_among(ids: Collection[UUID], holder: str) -> QuerySet[Delivery]:
    """Find those of them that a holder holds."""
    return held_by(holder).filter(pk__in=ids)


READ = Find(Delivery, held_among, "challenge", "stored", **MINE)

READ_AGAIN = Select(
    Delivery,
    lambda ids, holder: held_among(ids, holder).values_list(
        "pk", "challenge__state", "challenge__generation"
    ),
    **MINE,
)

KEEP = Update(
    Delivery,
    lambda pk, holder, until: (held_by(holder).filter(pk=pk), {"leased_until": until}),
    pk="id",
    holder="leased_by",
    until="leased_until",
)

RENEW = Update(
    Delivery,
    lambda ids, holder, now, short, until: (
        held_among(ids, holder).filter(deadline__gt=now, leased_until__lt=short),
        {"leased_until": until},
    ),
    **MINE,
    now="deadline",
    short="leased_until",
    until="leased_until",
)

RELEASE = Update(Delivery, lambda ids, holder: (held_among(ids, holder), NOBODYS), **MINE)

RELEASE_ALL = Update(Delivery, lambda holder: (held_by(holder), NOBODYS), holder="leased_by")

DECLINE = Update(
    Delivery,
    lambda pk, holder, due_at: (held_by(holder).filter(pk=pk), {**NOBODYS, "due_at": due_at}),
    pk="id",
    holder="leased_by",
    due_at="due_at",
)

CLAIM = Update(
    Delivery,
    lambda pk, holder, queue, due_by, until: (
        free(queue, due_by).filter(pk=pk),
        {"leased_by": holder, "leased_until": until},
    ),
    pk="id",
    holder="leased_by",
    queue="queue",
    due_by="due_at",
    until="leased_until",
)

DUE_AT = Select(
    Delivery,
    lambda pk, holder: held_by(holder).filter(pk=pk).values_list("pk", "due_at"),
    pk="id",
    holder="leased_by",
)

ANY_FREE = Select(
    Delivery,
    lambda queue, due_by: free(queue, due_by).values_list("pk")[:1],
    queue="queue",
    due_by="due_at",
)

ANY_LEASED = Select(
    Delivery,
    lambda queue, until: (
        leased().filter(queue=queue, leased_until__lte=until).values_list("pk")[:1]
    ),
    queue="queue",
    until="leased_until",
)

DUE = Select(
    Delivery,
    lambda holder, now: held_by(holder).filter(due_at__lte=now).values_list("pk", "queue"),
    holder="leased_by",
    now="due_at",
)

HOLDERS = Select(Delivery, lambda: leased().order_by().values_list("leased_by").distinct())

LAPSED = Select(Delivery, lambda now: lost(now).values_list("pk")[:REAP_LIMIT], now="leased_until")
