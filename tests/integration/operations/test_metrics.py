"""The metrics tell what the rows tell, to who brings the token."""

from datetime import timedelta

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from otpmail import challenges
from otpmail.db import database
from otpmail.models import Attempt, Challenge, Delivery
from otpmail.operations import stats
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes.circuits import circuits
from otpmail.testing import live_code
from tests.rounds import carry, promise

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "a token of more than sixteen"


@pytest.fixture(autouse=True)
def _token(settings):
    settings.OTPMAIL_METRICS_TOKEN = TOKEN


@pytest.fixture
def deaf(settings):
    """Nobody carries but by hand."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"


def ask(authorization=f"Bearer {TOKEN}", method="get"):
    headers = {"authorization": authorization} if authorization else {}
    return getattr(Client(headers=headers), method)("/codes/metrics")


def told(name, **labels):
    """Give the values that a scraper reads, of those with these labels."""
    families = text_string_to_metric_families(ask().content.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return [sample.value for sample in samples if labels.items() <= sample.labels.items()]


def age(seconds, *columns):
    moment = database.now() - timedelta(seconds=seconds)
    Delivery.objects.update(**dict.fromkeys(columns, moment))


def route_attempt(started_at, took_ms=10):
    return Attempt(
        delivery=Delivery.objects.get(),
        route="default",
        outcome="transient",
        started_at=started_at,
        took_ms=took_ms,
    )


@pytest.mark.parametrize("token", ["", "fifteen letters"])
def test_without_a_token_of_sixteen_characters_there_are_none(settings, token):
    settings.OTPMAIL_METRICS_TOKEN = token
    assert ask(f"Bearer {token}").status_code == 404


@pytest.mark.parametrize(
    "brought",
    ["", TOKEN, "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \xe9\xff"],
)
def test_who_brings_another_token_is_told_nothing(brought):
    answer = ask(brought)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.content == b""


def test_who_brings_the_token_reads_text_that_nobody_keeps():
    answer = ask()
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert answer["Cache-Control"] == "no-store"


def test_other_methods_are_refused():
    assert ask(method="post").status_code == 405


def test_nothing_has_happened_yet():
    assert told("otpmail_deliveries_queued") == [0, 0]
    assert told("otpmail_delivery_oldest_due_seconds") == [0, 0]
    assert set(told("otpmail_challenges_ended_recently")) == {0}
    assert told("otpmail_attempts_recently") == []


def test_what_waits_is_told_by_queue_whoever_holds_it(deaf):
    promise()
    promise(owner="bob")
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(
        leased_by="elsewhere/1/1/me", leased_until=database.now()
    )
    assert told("otpmail_deliveries_queued", queue="code") == [2]
    assert told("otpmail_deliveries_queued", queue="mail") == [0]


def test_the_oldest_that_is_due_tells_its_age(deaf):
    promise()
    age(90, "due_at")
    assert told("otpmail_delivery_oldest_due_seconds", queue="code") == [pytest.approx(90, abs=10)]
    age(-90, "due_at")
    assert told("otpmail_delivery_oldest_due_seconds", queue="code") == [0]


def test_a_mail_that_waits_for_its_retry_is_old_and_not_due(deaf):
    promise()
    age(90, "created_at")
    age(-4, "due_at")
    assert told("otpmail_delivery_oldest_queued_seconds", queue="code") == [
        pytest.approx(90, abs=10)
    ]


def test_what_became_of_mails_is_told_with_the_reason(deaf):
    issued = promise()
    promise(owner="bob")
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    carry()
    name = "otpmail_deliveries_settled_recently"
    assert told(name, queue="code", state="accepted", reason="") == [1]
    assert told(name, queue="code", state="dropped", reason="cancelled") == [1]
    age(301, "settled_at")
    assert told(name, state="dropped") == []


def test_a_mail_that_two_routes_took_was_accepted_once(deaf):
    promise()
    now = database.now()
    Attempt.objects.bulk_create(route_attempt(now) for _ in range(2))
    Attempt.objects.update(outcome="accepted")
    assert told("otpmail_deliveries_settled_recently", queue="code", state="accepted") == [1]


def test_attempts_are_told_by_route_and_outcome_with_their_time(deaf):
    promise()
    now = database.now()
    Attempt.objects.bulk_create([route_attempt(now, took_ms=1500), route_attempt(now, took_ms=500)])
    Attempt.objects.create(**_columns(route_attempt(now - timedelta(minutes=6))))
    assert told("otpmail_attempts_recently", route="default", outcome="transient") == [2]
    assert told("otpmail_attempts_recently_seconds", route="default") == [2]


def _columns(row):
    return {field.name: getattr(row, field.name) for field in row._meta.concrete_fields[1:]}


def test_ends_of_challenges_are_told_by_state():
    issued = promise()
    challenges.verify("sign-in", issued.challenge_id, live_code(issued.challenge_id), owner="alice")
    assert told("otpmail_challenges_ended_recently", state="confirmed") == [1]
    assert told("otpmail_challenges_ended_recently", state="expired") == [0]


def test_a_route_is_closed_until_it_fails():
    assert told("otpmail_route_circuit", route="default", state="closed") == [1]
    fault = Outcome(kind=Kind.PERMANENT, reply="535 no", code=535, blame=Blame.ROUTE)
    circuits["default"].record(fault, probe=False)
    try:
        assert told("otpmail_route_circuit", route="default", state="closed") == [0]
        assert told("otpmail_route_circuit", route="default", state="open") == [1]
        assert told("otpmail_route_faults", route="default") == [1]
    finally:
        circuits.drop()


@pytest.mark.parametrize("recent", [0, 1, 25, 40])
def test_the_recent_rows_are_found_from_the_end(deaf, monkeypatch, recent):
    """Also past one that was written down late, and further back than one step."""
    monkeypatch.setattr(stats, "STEP", 5)
    promise()
    now = database.now()
    old, late = now - timedelta(hours=1), now - timedelta(minutes=10)
    began = [old] * 50 + [late if number % 7 == 3 else now for number in range(recent)]
    for moment in began:
        route_attempt(moment).save()
    found = stats.tail(Attempt.objects.all(), "started_at", now - stats.RECENTLY)
    assert found.count() == began.count(now)


def test_no_label_is_anybodys(deaf):
    promise()
    carry()
    text = ask().content.decode()
    for secret in ("alice", "example.org", str(Challenge.objects.get().pk), "sign-in"):
        assert secret not in text
