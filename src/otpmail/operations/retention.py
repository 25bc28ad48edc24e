"""What is over is deleted after ``OTPMAIL_KEEP_DAYS``; what is pending or queued never is.

In: the time. Out: how many deliveries and challenges went, with what hangs on each; what stayed.
Knows nothing of: what they were for.

A table is walked by its primary key, which sorts by time, in steps of `STEP` rows with a
transaction each. So no step locks many rows or reads more than it looks at, however long the table
is, and the walk ends where the rows are too young.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from otpmail.conf import settings
from otpmail.db import database
from otpmail.db.compat import first_uuid7
from otpmail.models import Challenge, Delivery, DeliveryState
from otpmail.operations.deleting import Deleted, KeptRow, delete

STEP = 500
"""Rows looked at a transaction."""

FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many went, and what a project's own rows hold."""

    deliveries: int
    challenges: int
    stayed: tuple[KeptRow, ...] = ()


def prune(*, now: datetime, dry_run: bool = False) -> Pruned:
    """Delete what is over for long enough, or only count it."""
    before = now - timedelta(days=settings.KEEP_DAYS)
    take = _count if dry_run else delete
    deliveries = sum(map(take, _walk(Delivery, _settled(before), before)), Deleted())
    challenges = sum(map(take, _walk(Challenge, _ended(before), before)), Deleted())
    stayed = deliveries.stayed + challenges.stayed
    return Pruned(deliveries.count, challenges.count, stayed)


def _settled(before: datetime) -> Q:
    return ~Q(state=DeliveryState.QUEUED) & Q(settled_at__lt=before)


def _ended(before: datetime) -> Q:
    deliveries = Delivery.objects.filter(challenge=OuterRef("pk"))
    return Q(~Exists(deliveries.exclude(_settled(before))), ended_at__lt=before)


def _walk(model: type[database.Row], over: Q, before: datetime) -> Iterator[QuerySet[Model]]:
    rows = model.objects.all()
    step = rows.filter(pk__lt=first_uuid7(before)).order_by("pk").values_list("pk", flat=True)
    last = FIRST
    while ids := list(step.filter(pk__gt=last)[:STEP]):
        yield rows.filter(over, pk__in=ids)
        last = ids[-1]


def _count(rows: QuerySet[Model]) -> Deleted:
    return Deleted(rows.count())
