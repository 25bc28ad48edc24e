"""Whatever the database, the network or a thread does, an engine comes back."""

import asyncio
import contextlib
import signal
import socket
import sqlite3
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.test import override_settings

from otpmail import engines, routes
from otpmail.db import database
from otpmail.delivery import courier, leases
from otpmail.engines.threads import ThreadsEngine
from otpmail.models import Attempt, Delivery, Queue
from otpmail.routes import domain_shares
from tests import mailserver, orders, workers
from tests.bouncer import bouncing
from tests.mailtemplates import templates
from tests.proxy import proxy
from tests.rounds import promise, states
from tests.waiting import wait_until
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL has NOTIFY, and can drop a session"
)


def all_accepted():
    return states() == {"accepted"}


@pytest.fixture
def workers_alone(settings):
    settings.OTPMAIL_ENGINE = "otpmail.engines.worker.WorkerEngine"


@pytest.fixture
def engine(settings, server):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    settings.OTPMAIL_SWEEP_SECONDS = 0.1
    engine = engines.current()
    yield engine
    engine.stop(5)


# A worker never ends by itself.


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no sessions")
def test_worker_survives_the_loss_of_all_its_sessions(workers_alone, server, tmp_path):
    with worker(server.port, tmp_path / "alive") as process:
        for number in range(1, 4):
            terminate_other_sessions()
            promise()
            server.wait_for(number)
        assert process.poll() is None
        wait_until(all_accepted)
    assert len(server.mails) == 3


def terminate_other_sessions():
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        cursor.execute(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = database() AND id <> connection_id()"
        )
        for (session,) in cursor.fetchall():
            with contextlib.suppress(OperationalError):  # it ended meanwhile
                cursor.execute(f"KILL {session}")


@on_postgresql
def test_worker_passes_over_what_is_no_id(workers_alone, server, tmp_path):
    with worker(server.port, tmp_path / "alive", OTPMAIL_SWEEP_SECONDS="25") as process:
        with connection.cursor() as cursor:
            for payload in ("garbage", "", "x" * 7000, str(Delivery().pk)):
                for channel in ("otpmail_code", "otpmail_mail"):
                    cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])
        promise()
        server.wait_for(1)  # long before a sweep: it still listens
        assert process.poll() is None


@on_postgresql
def test_worker_that_hears_nothing_through_a_pooler_says_so_and_looks_more_often(
    workers_alone, server, tmp_path
):
    """In transaction mode a session that listens is lent to others, and what it hears is lost."""
    with (
        bouncing() as url,
        worker(
            server.port,
            tmp_path / "alive",
            DATABASE_URL=url,
            LOG_DIR=str(tmp_path),
            OTPMAIL_SWEEP_SECONDS="5",
        ),
    ):
        log = tmp_path / "django.log"
        wait_until(lambda: "does not hear NOTIFY" in log.read_text(), seconds=30)
        for number in range(1, 4):
            promise()
            server.wait_for(number, seconds=4)  # a sweep of those of every second, and not of 5
        wait_until(all_accepted)
        assert log.read_text().count("does not hear NOTIFY") == 1


@on_postgresql
def test_listener_whose_connection_was_forgotten_connects_anew(workers_alone, server, tmp_path):
    """What a firewall forgot is silent in both directions, and never closed."""
    named = connection.settings_dict
    with (
        proxy(int(named["PORT"])) as between,
        worker(
            server.port,
            tmp_path / "alive",
            DATABASE_URL=workers.database_url().replace(str(named["PORT"]), str(between.port)),
            LOG_DIR=str(tmp_path),
            OTPMAIL_SWEEP_SECONDS="0.2",
        ),
    ):
        wait_until(somebody_listens)
        assert between.forget_listeners()
        log = tmp_path / "django.log"
        wait_until(lambda: "hears NOTIFY again" in log.read_text(), seconds=30)
        promise()
        server.wait_for(1)
        wait_until(all_accepted)


def somebody_listens():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'idle' AND query LIKE 'LISTEN otpmail_echo%'"
        )
        return cursor.fetchone() is not None


def test_worker_that_starts_while_the_database_is_silent_ends_in_its_time(server, tmp_path):
    """Its main thread asks no server for anything."""
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://postgres@127.0.0.1:{silent.getsockname()[1]}/none"
        process = workers.start(
            server.port, tmp_path / "alive", DATABASE_URL=url, OTPMAIL_DRAIN_SECONDS="2"
        )
        try:
            silent.settimeout(60)
            connected, _ = silent.accept()  # and it never gets an answer
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            connected.close()
        finally:
            process.kill()
            process.wait()


def test_worker_that_starts_while_the_database_is_away_waits_for_it(
    workers_alone, server, tmp_path
):
    """On MariaDB Django's own checks ask it, and ended the worker."""
    if connection.vendor == "sqlite":
        pytest.skip("a file is never away")
    named = connection.settings_dict
    port = mailserver.free_port()
    url = workers.database_url().replace(f":{named['PORT']}/", f":{port}/")
    process = workers.start(
        server.port, tmp_path / "alive", DATABASE_URL=url, LOG_DIR=str(tmp_path)
    )
    try:
        log = tmp_path / "django.log"
        wait_until(lambda: log.exists() and log.read_text(), seconds=60)
        promise()
        with proxy(int(named["PORT"]), port):
            server.wait_for(1)
            assert process.poll() is None
            wait_until(all_accepted)
    finally:
        process.kill()
        process.wait()


# What a loop meets does not end it.


def test_thread_of_the_engine_that_ended_is_started_again(engine, server):
    engine.start()
    wait_until(lambda: engine.is_well)
    before = set(threading.enumerate())
    for one in (engine._sweep, engine._couriers[0]):
        one._thread = threading.Thread()  # as if it had ended
    assert not engine.is_well
    promise()
    server.wait_for(1)
    wait_until(lambda: engine.is_well)
    assert len(set(threading.enumerate()) - before) >= 2


def test_panic_in_a_template_is_a_failed_attempt_of_its_mail_alone(engine, server, settings):
    """What a Rust extension raises is no Exception."""
    settings.TEMPLATES = [
        templates({"otpmail/panic/body.txt": "{% load panics %}{% panic %}"}) | {"APP_DIRS": False}
    ]
    settings.TEMPLATES[0]["OPTIONS"]["libraries"] = {"panics": "tests.panics"}
    for _ in range(16):  # two for each courier
        promise(purpose="panic")
    promise()
    server.wait_for(1)
    wait_until(lambda: Attempt.objects.filter(reply="not rendered: Panic").count() >= 16)
    assert engine.is_well


def test_no_thread_to_be_had_fails_no_request_and_leaks_none(settings, server, monkeypatch):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    settings.OTPMAIL_SWEEP_SECONDS = 0.1
    start, allowed = threading.Thread.start, [3]

    def starve(thread):
        if thread.name.startswith("otpmail"):
            if not allowed[0]:
                raise RuntimeError("can't start new thread")
            allowed[0] -= 1
        start(thread)

    before = set(threading.enumerate())
    monkeypatch.setattr(threading.Thread, "start", starve)
    for _ in range(10):
        promise()
    assert len(set(threading.enumerate()) - before) <= 3
    monkeypatch.setattr(threading.Thread, "start", start)
    server.wait_for(10)
    wait_until(all_accepted)
    wait_until(lambda: engines.current().is_well)


def test_none_at_all_leaves_the_row_to_a_sweep(settings, server, monkeypatch):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    start = threading.Thread.start

    def starve(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", starve)
    promise()
    assert Delivery.objects.get().leased_by == ""
    monkeypatch.setattr(threading.Thread, "start", start)
    wait_until(lambda: engines.current().start() or server.mails)


def test_lost_hint_costs_a_sweep_and_not_a_lease(engine, server):
    """A hook of the project's own that raises keeps Django from calling those after it."""

    def broken():
        raise ValueError

    with pytest.raises(ValueError), transaction.atomic():  # noqa: PT011 - it is the hook's
        transaction.on_commit(broken)
        promise()
    assert Delivery.objects.get().leased_by
    server.wait_for(1)
    wait_until(all_accepted)


# One process's trouble is not the world's.


def test_worker_that_cannot_reach_the_mail_server_keeps_no_code_from_one_that_can(
    workers_alone, server, tmp_path
):
    dead_port = mailserver.free_port()
    with (
        worker(dead_port, tmp_path / "cut off"),
        worker(server.port, tmp_path / "healthy"),
    ):
        for _ in range(30):
            promise()
            time.sleep(0.02)
        wait_until(all_accepted, seconds=20)
    assert len(server.mails) == 30
    slow = [row for row in Delivery.objects.all() if row.settled_at - row.created_at > SOON]
    assert len(slow) <= 3  # those by which it found out


SOON = timedelta(seconds=5)


def test_worker_whose_mail_server_is_silent_keeps_no_code_from_one_that_is_answered(
    workers_alone, server, tmp_path
):
    """Each waits for its session for ten minutes, and a code does not wait with it."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=64) as silent,
        worker(silent.getsockname()[1], tmp_path / "cut off", EMAIL_TIMEOUT="600"),
        worker(server.port, tmp_path / "healthy"),
    ):
        for _ in range(30):
            promise()
        wait_until(all_accepted)
    assert len(server.mails) == 30


ONE, TWO = ("A" * 43 + "=", "E" * 43 + "=")
BODY = "otpmail/sign-in/body.txt"
LACKS = {
    "a template": {"TEMPLATES": [templates({BODY: "{% include 'of-a-newer-release.txt' %}"})]},
    "a tag library": {"TEMPLATES": [templates({BODY: "{% load of_a_newer_release %}"})]},
    "a key": {"OTPMAIL_KEYS": {"two": TWO}},
    "a key service": {
        "OTPMAIL_KEY_CLASS": "tests.keys.Service",
        "OTPMAIL_KEYS": {"one": "no such slot"},
    },
    "facts": {"OTPMAIL_PURPOSES": {}},
    "a function": {"OTPMAIL_PURPOSES": {"sign-in": {"FACTS": "tests.orders.of_a_newer_release"}}},
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_an_old_process_lacks_costs_its_mail_no_attempt(server, settings, lack):
    """In a rolling deploy another process has it; here the same one, later."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_KEYS = {"one": ONE}
    settings.OTPMAIL_PURPOSES = {"sign-in": {"FACTS": "tests.orders.facts"}}
    promise(facts=orders.place())
    (mine,) = leases.claim("me", queue=Queue.CODE, now=database.now(), limit=1)
    with override_settings(**LACKS[lack]):
        assert courier.run([mine], "me").declined == {mine}
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by, delivery.rounds) == ("queued", "", 0)
    assert not Attempt.objects.exists()
    assert leases.claim("another", queue=Queue.CODE, now=database.now(), limit=1)
    courier.run([mine], "another")
    assert states() == {"accepted"}


def test_declined_mail_is_tried_again_by_an_engine_that_is_alone(engine, server, settings):
    settings.TEMPLATES = [templates({"otpmail/new/body.txt": "{% include 'not-here.txt' %}"})]
    promise(purpose="new")
    wait_until(engine._claims.backoff.now)
    settings.TEMPLATES = [templates({})]
    wait_until(all_accepted)
    assert Attempt.objects.count() == 1


# What was taken is not sent again.


@contextlib.contextmanager
def unwritable():
    """Let the database take nothing from other connections until the block ends."""
    named = connection.settings_dict
    if connection.vendor == "sqlite":
        with contextlib.closing(sqlite3.connect(named["NAME"], isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("LOCK TABLES otpmail_delivery READ, otpmail_attempt READ")
            yield
            cursor.execute("UNLOCK TABLES")
            return
        alter = f'ALTER DATABASE "{named["NAME"]}" SET default_transaction_read_only = '
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute(alter + "on")
        terminate_other_sessions()
        yield
        cursor.execute(alter + "off")
        terminate_other_sessions()


def test_mail_that_was_taken_while_the_database_took_nothing_is_not_sent_again(
    settings, caplog, monkeypatch
):
    if connection.vendor == "sqlite":  # the tests wait for a minute
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.2)
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    settings.OTPMAIL_SWEEP_SECONDS = 0.2
    settings.OTPMAIL_LEASE_SECONDS = 3
    unwritable_now = threading.Event()
    with mailserver.running(TakesThen(unwritable_now.set)) as server:
        mailserver.route_to(settings, server.port)
        for _ in range(3):
            promise()
        assert unwritable_now.wait(10)
        with unwritable():
            server.goes_on.set()
            wait_until(lambda: len(server.mails) == 3)
            time.sleep(4)  # longer than the lease
            if connection.vendor != "mysql":  # there a statement waits, and so does its courier
                wait_until(lambda: not engines.current()._schedule.in_hand())
                assert "does not take it" in caplog.text
        wait_until(all_accepted)
        engines.current().stop(5)
        assert len(server.mails) == 3


class TakesThen(mailserver.MailServer):
    """Takes a mail only when it is told to go on."""

    def __init__(self, tell):
        super().__init__()
        self.tell, self.goes_on = tell, threading.Event()

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.tell()
        while not self.goes_on.is_set():
            await asyncio.sleep(0.01)
        return await super().handle_DATA(server, session, envelope)


# A backlog.


def test_backlog_drains_without_a_pause_and_a_fresh_code_overtakes_it(
    settings, server, monkeypatch
):
    # On a machine that is busy a mail may take so long that its domain is left to other processes.
    monkeypatch.setattr(domain_shares, "SLOW_SECONDS", 60)
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    for _ in range(400):
        promise()
    Delivery.objects.update(due_at=database.now() - timedelta(seconds=30))
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    settings.OTPMAIL_SWEEP_SECONDS = 60  # no second sweep: a claim that filled its room asks again
    server.delay_seconds = 0.1
    engines.current().start()
    wait_until(lambda: server.mails)
    fresh = promise().challenge_id
    wait_until(lambda: Delivery.objects.get(challenge=fresh).state == "accepted")
    assert Delivery.objects.filter(state="queued").count() > 100
    server.wait_for(401, seconds=60)
    wait_until(all_accepted)
    engines.current().stop(5)


def test_no_more_is_in_memory_than_is_sent_soon(settings, server):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    for _ in range(300):
        promise()
    server.delay_seconds = 0.2
    engine = ThreadsEngine()
    engine.start()
    wait_until(lambda: server.mails)
    assert engine._schedule.count(Queue.CODE) <= 100
    engine.stop(0.1)


# The end.


def test_what_the_routes_usual_time_says_cannot_be_finished_is_not_begun(settings, server):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    settings.OTPMAIL_COURIERS = 1
    routes.hedging.took("default", 8.0)
    engine = engines.current()
    server.delay_seconds = 1
    for _ in range(3):
        promise()
    wait_until(engine._schedule.in_hand)
    engine.stop(4)
    assert Delivery.objects.filter(state="queued", leased_by="").count() == 2
    assert len(server.mails) <= 1


def test_liveness_is_told_only_while_couriers_live(settings, server):
    settings.OTPMAIL_COURIERS = 2
    engine = ThreadsEngine()
    assert not engine.is_well
    engine.start()
    wait_until(lambda: engine.is_well)
    engine.stop(1)
    wait_until(lambda: not engine.is_well)


def test_rows_of_a_lost_hint_are_found_by_their_holder(settings, server):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    promise()
    (mine,) = leases.claim("me", queue=Queue.CODE, now=database.now(), limit=1)
    assert leases.due_of("me", now=database.now()) == [(mine, Queue.CODE)]
    assert courier.run([mine], "me").waits == {mine: None}
    assert leases.due_of("me", now=database.now()) == []
