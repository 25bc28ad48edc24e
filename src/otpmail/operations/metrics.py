"""How mail stands, in Prometheus's words.

In: ``stats``. Out: metrics, read anew for each scrape. Knows nothing of: who asks, rows.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import override

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from otpmail.db import database
from otpmail.operations import stats
from otpmail.routes import CircuitState


class OutboxCollector(Collector):
    """Reads everything anew for each scrape."""

    @override
    def collect(self) -> Iterator[Metric]:
        now = database.now()
        yield from _queue(now)
        yield _settled(now - stats.RECENTLY)
        yield from _attempts(now - stats.RECENTLY)
        yield _ended(now - stats.RECENTLY)
        yield from _circuits()


def _queue(now: datetime) -> Iterator[Metric]:
    queued = _gauge("otpmail_deliveries_queued", "Mails that wait or are being sent.", "queue")
    due = _gauge(
        "otpmail_delivery_oldest_due_seconds",
        "How long the mail that has been due for longest is due; 0: none is.",
        "queue",
    )
    oldest = _gauge(
        "otpmail_delivery_oldest_queued_seconds",
        "How long ago the oldest mail that is queued was enqueued, retries or not; 0: none is.",
        "queue",
    )
    for waiting in stats.waiting(now):
        queued.add_metric([waiting.queue], waiting.mails)
        due.add_metric([waiting.queue], waiting.due_seconds)
        oldest.add_metric([waiting.queue], waiting.queued_seconds)
    yield from (queued, due, oldest)


def _settled(since: datetime) -> Metric:
    settled = _gauge(
        "otpmail_deliveries_settled_recently",
        "Mails that were accepted, failed or were dropped in the last five minutes, and why.",
        *("queue", "state", "reason"),
    )
    for queue, state, reason, count in stats.settled(since):
        settled.add_metric([queue, state, reason.replace(" ", "-")], count)
    return settled


def _attempts(since: datetime) -> Iterator[Metric]:
    labels = ("route", "outcome")
    attempts = _gauge("otpmail_attempts_recently", "Attempts of the last five minutes.", *labels)
    took = _gauge("otpmail_attempts_recently_seconds", "How long they took, all together.", *labels)
    for route, outcome, count, took_seconds in stats.tried(since):
        attempts.add_metric([route, outcome], count)
        took.add_metric([route, outcome], took_seconds)
    yield from (attempts, took)


def _ended(since: datetime) -> Metric:
    ended = _gauge(
        "otpmail_challenges_ended_recently",
        "Challenges that ended in the last five minutes.",
        "state",
    )
    for action, count in stats.ended(since).items():
        ended.add_metric([action], count)
    return ended


def _circuits() -> Iterator[Metric]:
    circuit = _gauge(
        "otpmail_route_circuit",
        "Whether mails may use a route, as far as this process knows: 1 for what holds.",
        *("route", "state"),
    )
    faults = _gauge("otpmail_route_faults", "Faults of a route in a row, in this process.", "route")
    for route, status in stats.circuits().items():
        for circuit_state in CircuitState:
            circuit.add_metric([route, circuit_state.value], float(circuit_state is status.state))
        faults.add_metric([route], status.faults)
    yield from (circuit, faults)


def _gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, told, labels=labels)
