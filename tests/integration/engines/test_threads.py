"""What the threads engine promises beyond the contract."""

import time

import pytest
from django.db import connection

from otpmail import engines
from otpmail.models import Attempt, Delivery
from tests import mailserver
from tests.rounds import promise
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def engine(settings, server):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    return engines.current()


def test_fresh_row_is_born_leased_to_this_engine(engine, server):
    """So that nobody need claim it: one write less on the way of a fresh mail."""
    server.data = ["451 4.3.0 later"]
    promise()
    assert Delivery.objects.get().leased_by


def test_retry_comes_at_its_time_and_not_at_a_sweep(engine, server, settings):
    settings.OTPMAIL_RETRY_SECONDS = (0.3,)
    settings.OTPMAIL_SWEEP_SECONDS = 1000
    server.data = ["451 4.3.0 later", "250 ok"]
    promise()
    server.wait_for(1)
    wait_until(lambda: Attempt.objects.count() == 2)
    first, second = Attempt.objects.order_by("pk")
    waited = (second.started_at - first.started_at).total_seconds()
    assert waited >= 0.27


def test_retry_is_timed_though_another_mail_is_in_hand(engine, server, settings):
    """A courier that leaves to work hands the timer to one that waits."""
    settings.OTPMAIL_RETRY_SECONDS = (0.3,)
    settings.OTPMAIL_SWEEP_SECONDS = 1000
    server.data = ["451 4.3.0 later", "250 ok"]
    promise()
    wait_until(lambda: Attempt.objects.count() == 1)
    for _ in range(5):
        promise()
    server.wait_for(6)


def test_what_finds_no_room_in_memory_is_swept_up(settings, server):
    settings.OTPMAIL_QUEUE_SIZE = 2
    settings.OTPMAIL_SWEEP_SECONDS = 0.05
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    for _ in range(20):
        promise()
    server.wait_for(20)
    wait_until(lambda: not Delivery.objects.exclude(state="accepted").exists())
    assert len(server.mails) == 20


def test_stop_waits_no_longer_than_told(engine, server, settings, hanging):
    """A mail server that says nothing must not hold the exit."""
    mailserver.route_through(settings, "tests.backends.Hanging")
    promise()
    wait_until(lambda: "in_hand=1" in repr(engine))
    started = time.monotonic()
    engine.stop(seconds=0.3)
    assert time.monotonic() - started >= 0.25
    assert "in_hand=1" in repr(engine)


def test_expired_challenges_are_ended_by_the_sweep(settings, server, pass_time):
    settings.OTPMAIL_SWEEP_SECONDS = 0.05
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    issued = promise()
    server.wait_for(1)
    pass_time(issued.challenge_id, 1801)
    wait_until(lambda: Delivery.objects.get().challenge.state == "expired")
    assert Delivery.objects.get().challenge.nonce is None


def test_one_mail_at_a_time_goes_over_one_connection(settings, server):
    """The courier that worked last works next: its connection is the warmest."""
    mailserver.route_to(settings, server.port, backend=mailserver.DJANGOS_BACKEND)
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    for number in range(1, 7):
        promise()
        server.wait_for(number)
        wait_until(lambda: not Delivery.objects.exclude(state="accepted").exists())
    assert server.sessions <= 2


def test_queue_in_memory_is_bounded(settings, server, hanging):
    settings.OTPMAIL_QUEUE_SIZE = 2
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    mailserver.route_through(settings, "tests.backends.Hanging")
    for _ in range(10):
        promise()
    assert "known=2 " in repr(engines.current())


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL can drop connections")
def test_connections_that_the_database_dropped_cost_no_mail_its_minute(engine, server):
    for _ in range(20):
        promise()
    wait_until(lambda: not Delivery.objects.exclude(state="accepted").exists())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    promise()
    server.wait_for(21, seconds=30)  # and not at the end of its lease
