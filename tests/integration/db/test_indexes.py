"""What the sweeps ask is answered by an index, however many mails were settled before."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from otpmail import challenges, closing
from otpmail.db import database
from otpmail.db.compat import uuid7
from otpmail.delivery import leases
from otpmail.models import Challenge, ChallengeState, Delivery, DeliveryState, Queue
from otpmail.operations import stats

pytestmark = pytest.mark.django_db(transaction=True)

ANALYZE = {
    "sqlite": ["ANALYZE"],
    "postgresql": ["ANALYZE otpmail_challenge", "ANALYZE otpmail_delivery"],
    "mysql": ["ANALYZE TABLE otpmail_challenge", "ANALYZE TABLE otpmail_delivery"],
}


@pytest.fixture
def history(settings):
    """A thousand settled mails, and one that is due."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    issued = challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    challenge, delivery = Challenge.objects.get(), Delivery.objects.get()
    ended = {"state": ChallengeState.CONFIRMED, "ended_at": database.now(), "nonce": None}
    old = [_copy(challenge, id=uuid7(), **ended) for _ in range(1000)]
    Challenge.objects.bulk_create(old)
    settled = {"state": DeliveryState.ACCEPTED, "settled_at": database.now()}
    Delivery.objects.bulk_create(
        _copy(delivery, id=uuid7(), challenge=challenge, **settled) for challenge in old
    )
    with connection.cursor() as cursor:
        for statement in ANALYZE[connection.vendor]:
            cursor.execute(statement)
    return issued


def _copy(row, **changes):
    values = {field.name: getattr(row, field.name) for field in row._meta.concrete_fields}
    return type(row)(**values | changes)


def plan_of(query):
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {query}".replace("%", "%%"), [])
        return str(cursor.fetchall())


def first_read(table, step):
    with CaptureQueriesContext(connection) as captured:
        step()
    queries = [query["sql"] for query in captured.captured_queries]
    return next(q for q in queries if q.startswith("SELECT") and table in q)


@pytest.mark.parametrize(
    ("index", "step"),
    [
        (
            "otpmail_due",
            lambda: leases.claim("a/1/1/b", queue=Queue.CODE, now=database.now(), limit=10),
        ),
        ("otpmail_leased", lambda: leases.reap(now=database.now())),
        (
            "otpmail_closing",
            lambda: closing.expire(now=database.now() + timedelta(hours=1), seconds=10),
        ),
        ("otpmail_closing", lambda: closing.revoke(now=database.now(), seconds=10)),
        ("otpmail_due", lambda: list(stats.by_queue(stats.queued()[0]))),
        ("otpmail_leased", lambda: list(stats.by_queue(stats.queued()[1]))),
        ("otpmail_unsent", lambda: list(stats.unsent(database.now()))),
    ],
    ids=["claim", "reap", "expire", "revoke", "free", "leased", "unsent"],
)
def test_sweep_reads_by_its_index(history, settings, index, step):
    settings.OTPMAIL_REVOKED_KEYS = [Challenge.objects.first().key_id]
    assert index in plan_of(first_read("otpmail_", step))


def test_no_database_is_told_that_a_condition_is_lost(capsys):
    """Django's W037 would be untrue: where there are no partial indexes, ours are led by them."""
    call_command("check", "otpmail", databases=["default"])
    assert "W037" not in capsys.readouterr().err
