"""How mail stands, read anew whenever it is asked for.

In: the outbox and the audit, and what this process knows of its routes. Out: counts and seconds.
Knows nothing of: who asks.

What the database tells is true for all processes, workers too; circuits are this process's own.
Nothing here holds an address, an owner, an id or a code: only queues, states, reasons and routes.
A question costs what is open or recent.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Min, Model, Q, QuerySet, Sum

from otpmail import routes
from otpmail.models import Attempt, AuditEntry, ChallengeState, Delivery, DeliveryState, Queue
from otpmail.models.audit import AuditAction

RECENTLY = timedelta(minutes=5)

STEP = 1000
"""Rows that the search for where the recent ones begin goes back at first."""

NEIGHBOURS = 20
"""Rows looked at in each place: a try that hung is written down long after it began."""

ENDS = {AuditAction(state) for state in ChallengeState if state is not ChallengeState.PENDING}


class Waiting(NamedTuple):
    """What waits in a queue: how much, and since when the first is due, and was enqueued."""

    queue: Queue
    mails: int
    due_seconds: float
    queued_seconds: float


class Settled(NamedTuple):
    """How many deliveries ended alike."""

    queue: str
    state: str
    reason: str
    mails: int


class Tried(NamedTuple):
    """How many attempts ended alike, and how long they took, all together."""

    route: str
    outcome: str
    attempts: int
    took_seconds: float

    @property
    def mean_ms(self) -> float:
        """How long one took."""
        return 1000 * self.took_seconds / self.attempts


def waiting(now: datetime) -> list[Waiting]:
    """Tell of each queue what waits or is being sent."""
    told = [row for rows in queued() for row in by_queue(rows)]
    of = {queue: [row for row in told if row["queue"] == queue] for queue in Queue}
    return [
        Waiting(
            queue,
            sum(row["rows"] for row in rows),
            _age(now, (row["due"] for row in rows)),
            _age(now, (row["enqueued"] for row in rows)),
        )
        for queue, rows in of.items()
    ]


def queued() -> tuple[QuerySet[Delivery], QuerySet[Delivery]]:
    """Give what is queued: nobody's, and somebody's. Each has an index of its own."""
    rows = Delivery.objects.all()
    nobodys = rows.filter(state=DeliveryState.QUEUED, leased_by="")
    return nobodys, rows.filter(leased_until__isnull=False)


def by_queue(rows: QuerySet[Delivery]) -> Iterable[Mapping[str, Any]]:
    """Count them, and tell since when the oldest is due, and was enqueued."""
    times = {"due": Min("due_at"), "enqueued": Min("created_at")}
    return rows.values("queue").annotate(rows=Count("pk"), **times)


def _age(now: datetime, moments: Iterable[datetime]) -> float:
    return max(0.0, (now - min(moments, default=now)).total_seconds())


def settled(since: datetime) -> Iterator[Settled]:
    """Tell what became of mails since then: accepted, failed or dropped, and why."""
    accepted = tail(_attempts(), "started_at", since).filter(outcome=DeliveryState.ACCEPTED)
    counted = dict.fromkeys(Queue.values, 0) | dict(
        accepted.values_list("delivery__queue").annotate(Count("delivery", distinct=True))
    )
    for queue, count in counted.items():
        yield Settled(queue, DeliveryState.ACCEPTED, "", count)
    alike = unsent(since).values_list("queue", "state", "reason")
    yield from map(Settled._make, alike.annotate(Count("pk")))


def unsent(since: datetime) -> QuerySet[Delivery]:
    """Give what failed or was dropped since then: what has a reason."""
    states = [DeliveryState.FAILED, DeliveryState.DROPPED]
    rows = Delivery.objects.all()
    return rows.filter(reason__gt="", state__in=states, settled_at__gte=since)


def tried(since: datetime) -> list[Tried]:
    """Tell what the routes did since then."""
    alike = tail(_attempts(), "started_at", since).values_list("route", "outcome")
    return [
        Tried(route, outcome, count, float(took_ms) / 1000)
        for route, outcome, count, took_ms in alike.annotate(Count("pk"), Sum("took_ms"))
    ]


def ended(since: datetime) -> dict[AuditAction, int]:
    """Count the challenges that ended since then."""
    recent = tail(AuditEntry.objects.all(), "at", since).filter(action__in=ENDS)
    counted = dict(recent.values_list("action").annotate(Count("pk")))
    return {action: counted.get(action, 0) for action in sorted(ENDS)}


def circuits() -> dict[str, routes.CircuitStatus]:
    """Tell how each route stands in this process; one that was not used yet is closed."""
    used = routes.circuit_statuses()
    unused = routes.CircuitStatus(routes.CircuitState.CLOSED, faults=0, since_seconds=0.0)
    return {route: used.get(route, unused) for route in dict.fromkeys([*routes.known(), *used])}


def tail[Row: Model](rows: QuerySet[Row], column: str, since: datetime) -> QuerySet[Row]:
    """Give the rows since then of a table that is only added to, by its key and no other index.

    Goes back from the newest, twice as far each time, until all that it meets is older.
    """
    newest = rows.order_by("-pk").values_list("pk", flat=True).first() or 0
    step = STEP
    while any(moment >= since for moment in _met(rows.filter(pk__lte=newest - step), column)):
        step *= 2
    return rows.filter(Q(**{f"{column}__gte": since}), pk__gt=newest - step).order_by()


def _met(rows: QuerySet[Any], column: str) -> Iterable[datetime]:
    return rows.order_by("-pk").values_list(column, flat=True)[:NEIGHBOURS]


def _attempts() -> QuerySet[Attempt]:
    return Attempt.objects.all()
