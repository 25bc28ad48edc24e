"""How mail stands, in numbers that are read when they are asked for.

In: the outbox and the audit, and what this process knows of its routes. Out: metrics, in
Prometheus's words. Knows nothing of: who asks.

What the database tells is true for all processes, workers too; circuits are this process's own. No
label holds an address, a subject, an id or a code: they are lanes, states, reasons and routes.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Model, Q, QuerySet, Sum
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from otpmail import database, routes
from otpmail.deeds import Deed
from otpmail.models import Attempt, AuditEntry, Delivery, DeliveryState, Lane, State
from otpmail.routes import Standing

RECENTLY = timedelta(minutes=5)

STEP = 1000
"""Rows that the search for where the recent ones begin goes back at first."""

NEIGHBOURS = 20
"""Rows looked at in each place: a try that hung is written down long after it began."""

ENDS = {Deed(state) for state in State if state is not State.PENDING}


class OutboxCollector(Collector):
    """Reads everything anew for each scrape. Its queries cost what is open or recent."""

    def collect(self) -> Iterator[Metric]:
        """Give all metrics."""
        now = database.now()
        yield from _queue(now)
        yield from _settled(now - RECENTLY)
        yield from _attempts(now - RECENTLY)
        yield _ended(now - RECENTLY)
        yield from _circuits()


def _queue(now: datetime) -> Iterator[Metric]:
    queued = _gauge("otpmail_deliveries_queued", "Mails that wait or are being sent.", "lane")
    due = _gauge(
        "otpmail_delivery_oldest_due_seconds",
        "How long the mail that has been due for longest is due; 0: none is.",
        "lane",
    )
    oldest = _gauge(
        "otpmail_delivery_oldest_queued_seconds",
        "How long ago the oldest mail that is queued was promised, retries or not; 0: none is.",
        "lane",
    )
    told = [row for rows in waiting() for row in by_lane(rows)]
    for lane in Lane:
        mine = [row for row in told if row["lane"] == lane]
        queued.add_metric([lane], sum(row["rows"] for row in mine))
        due.add_metric([lane], _age(now, (row["due"] for row in mine)))
        oldest.add_metric([lane], _age(now, (row["promised"] for row in mine)))
    yield from (queued, due, oldest)


def waiting() -> tuple[QuerySet[Delivery], QuerySet[Delivery]]:
    """Give what is queued: nobody's, and somebody's. Each has an index of its own."""
    rows = Delivery.objects.using(database.alias())
    nobodys = rows.filter(state=DeliveryState.QUEUED, leased_by="")
    return nobodys, rows.filter(leased_until__isnull=False)


def by_lane(rows: QuerySet[Delivery]) -> Iterable[Mapping[str, Any]]:
    """Count them, and tell since when the oldest is due, and was promised."""
    times = {"due": Min("due_at"), "promised": Min("created_at")}
    return rows.values("lane").annotate(rows=Count("pk"), **times)


def _age(now: datetime, moments: Iterable[datetime]) -> float:
    return max(0.0, (now - min(moments, default=now)).total_seconds())


def _settled(since: datetime) -> Iterator[Metric]:
    settled = _gauge(
        "otpmail_deliveries_settled_recently",
        "Mails that were accepted, failed or were dropped in the last five minutes, and why.",
        *("lane", "state", "reason"),
    )
    accepted = tail(_attempts_kept(), "started_at", since).filter(outcome=DeliveryState.ACCEPTED)
    counted = dict.fromkeys(Lane.values, 0) | dict(
        accepted.values_list("delivery__lane").annotate(Count("delivery", distinct=True))
    )
    for lane, count in counted.items():
        settled.add_metric([lane, DeliveryState.ACCEPTED, ""], count)
    for lane, state, reason, count in (
        unsent(since).values_list("lane", "state", "reason").annotate(Count("pk"))
    ):
        settled.add_metric([lane, state, reason.replace(" ", "-")], count)
    yield settled


def unsent(since: datetime) -> QuerySet[Delivery]:
    """Give what failed or was dropped since then: what has a reason."""
    states = [DeliveryState.FAILED, DeliveryState.DROPPED]
    rows = Delivery.objects.using(database.alias())
    return rows.filter(reason__gt="", state__in=states, settled_at__gte=since)


def _attempts(since: datetime) -> Iterator[Metric]:
    labels = ("route", "outcome")
    tries = _gauge("otpmail_attempts_recently", "Attempts of the last five minutes.", *labels)
    took = _gauge("otpmail_attempts_recently_seconds", "How long they took, all together.", *labels)
    recent = tail(_attempts_kept(), "started_at", since)
    for route, outcome, count, took_ms in recent.values_list("route", "outcome").annotate(
        Count("pk"), Sum("took_ms")
    ):
        tries.add_metric([route, outcome], count)
        took.add_metric([route, outcome], float(took_ms) / 1000)
    yield from (tries, took)


def _attempts_kept() -> QuerySet[Attempt]:
    return Attempt.objects.using(database.alias())


def _ended(since: datetime) -> Metric:
    ended = _gauge(
        "otpmail_challenges_ended_recently",
        "Challenges that ended in the last five minutes.",
        "state",
    )
    recent = tail(AuditEntry.objects.using(database.alias()), "at", since).filter(deed__in=ENDS)
    counted = dict(recent.values_list("deed").annotate(Count("pk")))
    for deed in sorted(ENDS):
        ended.add_metric([deed], counted.get(deed, 0))
    return ended


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


def _circuits() -> Iterator[Metric]:
    circuit = _gauge(
        "otpmail_route_circuit",
        "Whether mails may use a route, as far as this process knows: 1 for what holds.",
        *("route", "state"),
    )
    faults = _gauge("otpmail_route_faults", "Faults of a route in a row, in this process.", "route")
    used = routes.states()
    for route in dict.fromkeys([*routes.known(), *used]):
        state = used.get(route)
        holds = state.standing if state else Standing.CLOSED
        for standing in Standing:
            circuit.add_metric([route, standing.value], float(standing is holds))
        faults.add_metric([route], state.faults if state else 0)
    yield from (circuit, faults)


def _gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, told, labels=labels)
