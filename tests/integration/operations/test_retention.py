from datetime import timedelta
from io import StringIO

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from otpmail import challenges
from otpmail.backends.outbox import EmailBackend
from otpmail.db import database
from otpmail.db.compat import uuid7
from otpmail.limits import suppressions
from otpmail.models import (
    Attempt,
    AuditEntry,
    Challenge,
    ChallengeState,
    Counter,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    StoredMessage,
    Suppression,
)
from otpmail.operations import retention

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def nobody_sends(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"


def past(delivery_id, span):
    """Give an id that was made so long ago."""
    return type(delivery_id)(int=delivery_id.int - (int(span.total_seconds() * 1000) << 80))


def a_code(*, age, settled=True, ended=True):
    """Put a code that was promised, mailed and typed so long ago."""
    now = database.now()
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    challenge = Challenge.objects.latest("pk")
    fields = {name: getattr(challenge, name) - age for name in TIMES}
    if ended:
        fields |= {"state": ChallengeState.CONFIRMED, "ended_at": now - age, "nonce": None}
    old = copy(challenge, id=past(challenge.pk, age), **fields)
    old.save(force_insert=True)
    delivery = copy(challenge.deliveries.get(), id=past(uuid7(), age), challenge=old)
    if settled:
        delivery.state, delivery.settled_at = DeliveryState.ACCEPTED, now - age
    delivery.save(force_insert=True)
    Attempt.objects.create(
        delivery=delivery, route="default", started_at=now - age, took_ms=1, outcome="accepted"
    )
    challenge.delete()
    return old


TIMES = ("created_at", "expires_at", "closes_at", "resend_at")


def copy(row, **changes):
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    if "challenge" in changes:
        del values["challenge_id"]
    return type(row)(**values | changes)


def prune(*arguments):
    told = StringIO()
    call_command("otpmail_prune", *arguments, stdout=told)
    return told.getvalue().strip()


def test_what_is_over_for_long_enough_goes_with_all_that_hangs_on_it():
    a_code(age=31 * DAY)
    young = a_code(age=29 * DAY)
    assert prune() == "deleted 1 deliveries and 1 challenges that were over for 30 days"
    assert Challenge.objects.get() == young
    assert Delivery.objects.get().challenge == young
    assert Attempt.objects.count() == 1


def test_days_are_a_setting(settings):
    settings.OTPMAIL_KEEP_DAYS = 1
    a_code(age=2 * DAY)
    assert prune() == "deleted 1 deliveries and 1 challenges that were over for 1 days"


def test_pending_and_queued_stay_however_old():
    pending = a_code(age=400 * DAY, ended=False)
    queued = a_code(age=400 * DAY, settled=False)
    assert prune() == "deleted 1 deliveries and 0 challenges that were over for 30 days"
    assert set(Challenge.objects.all()) == {pending, queued}
    assert Delivery.objects.get().challenge == queued


def test_dry_run_counts_the_same_and_deletes_nothing():
    a_code(age=31 * DAY)
    a_code(age=400 * DAY, settled=False)
    assert prune("--dry-run") == (
        "would delete 1 deliveries and 1 challenges that were over for 30 days"
    )
    assert (Challenge.objects.count(), Delivery.objects.count()) == (2, 2)
    assert prune() == "deleted 1 deliveries and 1 challenges that were over for 30 days"


def test_other_mail_goes_too(settings):
    backend = EmailBackend(routes=["default"])
    backend.send_messages([mail.EmailMessage("s", "b", "a@example.org", ["b@example.org"])])
    mine = Delivery.objects.get()
    old = copy(
        mine, id=past(mine.pk, 31 * DAY), state="accepted", settled_at=mine.due_at - 31 * DAY
    )
    old.save(force_insert=True)
    prune()
    assert Delivery.objects.get() == mine
    assert StoredMessage.objects.exists()


def test_long_tables_go_in_small_steps(monkeypatch):
    monkeypatch.setattr(retention, "STEP", 2)
    for _ in range(5):
        a_code(age=31 * DAY)
    a_code(age=DAY)
    with CaptureQueriesContext(connection) as captured:
        prune()
    deletes = [q["sql"] for q in captured.captured_queries if q["sql"].startswith("DELETE")]
    assert sum("otpmail_delivery" in sql and "WHERE" in sql for sql in deletes) >= 3
    assert Challenge.objects.count() == 1


def test_walk_ends_where_rows_are_young():
    for _ in range(3):
        a_code(age=DAY)
    a_code(age=31 * DAY)
    with CaptureQueriesContext(connection) as captured:
        retention.prune(now=database.now(), dry_run=True)
    first = next(q["sql"] for q in captured.captured_queries if "ORDER BY" in q["sql"])
    with connection.cursor() as cursor:
        cursor.execute(first.replace("%", "%%"))
        assert len(cursor.fetchall()) == 1


def test_ids_sort_by_time_on_this_database():
    """Else the walk would end too early: each id is a millisecond younger than the one before."""
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    challenge, start = Challenge.objects.get(), uuid7()
    made = [type(start)(int=start.int + (step * 7_919 << 80)) for step in range(50)]
    Challenge.objects.bulk_create(copy(challenge, id=pk) for pk in made)
    others = Challenge.objects.exclude(pk=challenge.pk).order_by("pk")
    assert list(others.values_list("pk", flat=True)) == made


def test_counters_that_are_long_at_nought_go_and_the_audit_stays():
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    Counter.objects.update(kept_until=0)
    call_command("otpmail_prune", dry_run=True, stdout=StringIO())
    assert Counter.objects.exists()
    call_command("otpmail_prune", stdout=StringIO())
    assert not Counter.objects.exists()
    assert AuditEntry.objects.count() == 1


def test_suppressions_that_ended_go_and_those_that_hold_stay(monkeypatch):
    monkeypatch.setattr(retention, "STEP", 2)
    now = database.now()
    for who in ("alice", "bob", "carol"):
        suppressions.suppress(f"{who}@example.org", DeliveryEvent.BOUNCED, since=now - 8 * DAY)
    suppressions.suppress("dave@example.org", DeliveryEvent.BOUNCED, since=now)
    prune("--dry-run")
    assert Suppression.objects.count() == 4
    prune()
    assert Suppression.objects.count() == 1
    assert suppressions.is_suppressed("dave@example.org", now=now)


def test_suppression_that_is_lengthened_meanwhile_stays():
    """A bounce comes in between the look and the deed."""
    now = database.now()

    def bounce(execute, sql, *arguments):
        if sql.startswith("DELETE"):
            suppressions.suppress("alice@example.org", DeliveryEvent.BOUNCED, since=now)
        return execute(sql, *arguments)

    suppressions.suppress("alice@example.org", DeliveryEvent.BOUNCED, since=now - 8 * DAY)
    with connection.execute_wrapper(bounce):
        assert suppressions.prune(now=now, limit=10) == 0
    assert suppressions.is_suppressed("alice@example.org", now=now)
