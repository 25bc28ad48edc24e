"""Worker processes: woken, killed, stopped."""

import signal

import pytest
from django.db import connection

from otpmail.models import Attempt, Delivery
from tests.rounds import promise
from tests.waiting import wait_until
from tests.workers import worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]


@pytest.fixture(autouse=True)
def engine(settings):
    settings.OTPMAIL_ENGINE = "otpmail.engines.worker.WorkerEngine"


def somebody_listens():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'"
        )
        return cursor.fetchone()[0]


def all_accepted():
    return not Delivery.objects.exclude(state="accepted").exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has a bell")
def test_bell_wakes_a_worker_long_before_its_sweep(server, tmp_path):
    with worker(server.port, tmp_path / "alive", OTPMAIL_SWEEP_SECONDS="25"):
        wait_until(somebody_listens)
        promise()
        server.wait_for(1, seconds=20)
        wait_until(all_accepted)


def test_two_workers_share_the_mail_and_double_none(server, tmp_path):
    with (
        worker(server.port, tmp_path / "one", OTPMAIL_SWEEP_SECONDS="0.1"),
        worker(server.port, tmp_path / "two", OTPMAIL_SWEEP_SECONDS="0.1"),
    ):
        for _ in range(50):
            promise()
        server.wait_for(50)
        wait_until(all_accepted)
    assert len(server.mails) == 50
    assert Attempt.objects.count() == 50


def test_mail_of_a_killed_worker_is_taken_up_at_the_first_sweep_of_the_next_one(server, tmp_path):
    server.may_take = lambda: False
    with worker(server.port, tmp_path / "first", OTPMAIL_SWEEP_SECONDS="0.1") as first:
        promise()
        wait_until(lambda: server.in_hand)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert Delivery.objects.get().leased_by  # by a dead process
    server.may_take = lambda: True
    with worker(server.port, tmp_path / "second", OTPMAIL_SWEEP_SECONDS="25"):
        server.wait_for(1, seconds=20)  # the second sweep is later, and its lease is longer
        wait_until(all_accepted)


def test_polite_stop_lets_mail_in_flight_arrive(server, tmp_path):
    server.delay_seconds = 1
    with worker(server.port, tmp_path / "alive", OTPMAIL_SWEEP_SECONDS="0.1") as process:
        promise()
        wait_until(lambda: server.in_hand)
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert len(server.mails) == 1
    assert all_accepted()


def test_stop_gives_back_what_waits_for_its_retry(server, tmp_path):
    server.data = ["451 4.3.0 later"]
    with worker(server.port, tmp_path / "alive", OTPMAIL_SWEEP_SECONDS="0.1") as process:
        promise()
        wait_until(lambda: Delivery.objects.get().rounds == 1)
        process.terminate()
        assert process.wait(timeout=60) == 0
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by) == ("queued", "")


def test_file_tells_that_the_worker_lives(server, tmp_path):
    alive = tmp_path / "alive"
    with worker(server.port, alive, OTPMAIL_SWEEP_SECONDS="0.1"):
        before = alive.stat().st_mtime
        wait_until(lambda: alive.stat().st_mtime > before)
