"""Rare moments: a round that hangs, a receiver that panics, two threads at one thing."""

import contextlib
import threading
import time
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend

from otpmail import signals
from otpmail.db import database
from otpmail.delivery import courier, leases, pending_writes, settling
from otpmail.engines.threads import ThreadsEngine
from otpmail.models import Delivery, Queue
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes.circuits import circuits
from tests import mailserver
from tests.keys import Service
from tests.panics import Panic
from tests.rounds import ME, promise, states
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FAULT = Outcome(kind=Kind.PERMANENT, reply="no", blame=Blame.ROUTE)


@pytest.fixture
def deaf(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"


def queued(**of):
    return Delivery.objects.filter(state="queued", **of)


def most_held(engine, *, looks):
    """Look now and then. Returns how many rows the engine held at most."""
    held = []
    for _ in range(looks):
        held.append(queued(leased_by=engine._holder).count())
        time.sleep(0.1)
    return max(held)


class Gated(BaseEmailBackend):
    """Takes mails when it is told to."""

    goes_on: ClassVar[threading.Event] = threading.Event()
    in_hand: ClassVar[list[Any]] = []

    def send_messages(self, email_messages):
        self.in_hand.extend(email_messages)
        self.goes_on.wait(60)
        return len(email_messages)


@pytest.fixture
def gate(settings):
    Gated.goes_on.clear()
    Gated.in_hand.clear()
    mailserver.route_through(settings, "tests.integration.engines.test_rare.Gated")
    yield Gated.goes_on
    Gated.goes_on.set()


def test_still_process_leaves_what_waits_to_others(settings, deaf, gate):
    """It gives it back, and claims it again in the same sweep."""
    settings.OTPMAIL_COURIERS = 2
    settings.OTPMAIL_SWEEP_SECONDS = 0.5
    for _ in range(40):
        promise()
    engine = ThreadsEngine()
    engine.start()
    try:
        wait_until(lambda: len(Gated.in_hand) == 2)
        time.sleep(3)  # it stands still for long
        assert most_held(engine, looks=20) <= 2
    finally:
        gate.set()
        engine.stop(5)


def test_hint_amid_a_backlog_does_not_stop_it(settings, deaf, gate):
    """With what a hint claimed, it forgets that there was more than it could take."""
    settings.OTPMAIL_COURIERS = 2
    settings.OTPMAIL_SWEEP_SECONDS = 30
    for _ in range(150):
        promise()
    Delivery.objects.update(due_at=database.now() - timedelta(seconds=20))
    engine = ThreadsEngine()
    engine.start()
    try:
        wait_until(lambda: len(Gated.in_hand) == 2)
        fresh = promise()
        rung = Delivery.objects.get(challenge=fresh.challenge_id).pk
        engine.claim_due(Queue.CODE, [rung])  # as the bell has it done
        gate.set()
        wait_until(lambda: not queued(leased_by=engine._holder).exists())
        wait_until(lambda: states() == {"accepted"}, seconds=25)
    finally:
        engine.stop(5)


class StuckOnce(Service):
    """A key service whose first caller never gets an answer."""

    stuck: ClassVar[threading.Event] = threading.Event()
    goes_on: ClassVar[threading.Event] = threading.Event()

    def sign(self, purpose, message):
        if threading.current_thread().name.startswith("otpmail") and not self.stuck.is_set():
            self.stuck.set()
            self.goes_on.wait(60)
        return super().sign(purpose, message)


@pytest.fixture
def stuck(settings):
    settings.OTPMAIL_KEY_CLASS = "tests.integration.engines.test_rare.StuckOnce"
    settings.OTPMAIL_KEYS = {"k": "slot 7"}
    StuckOnce.stuck.clear()
    StuckOnce.goes_on.clear()
    yield StuckOnce
    StuckOnce.goes_on.set()


def test_one_stuck_courier_does_not_keep_a_shut_route_from_being_tried(
    settings, deaf, stuck, server
):
    settings.OTPMAIL_SWEEP_SECONDS = 0.1
    settings.OTPMAIL_LEASE_SECONDS = 1
    promise()
    engine = ThreadsEngine()
    engine.start()
    try:
        assert stuck.stuck.wait(10)
        for _ in range(3):
            circuits["default"].record(FAULT, probe=False)  # it was away, and is back
        promise(owner="bob")
        server.wait_for(1)
    finally:
        stuck.goes_on.set()
        engine.stop(5)


def test_row_of_a_stuck_round_is_not_claimed_again_by_its_own_process(
    settings, deaf, stuck, server
):
    settings.OTPMAIL_SWEEP_SECONDS = 0.1
    settings.OTPMAIL_LEASE_SECONDS = 1
    promise()
    engine = ThreadsEngine()
    engine.start()
    try:
        assert stuck.stuck.wait(10)
        time.sleep(3)  # longer than renewals and a lease
        assert most_held(engine, looks=30) == 0
    finally:
        stuck.goes_on.set()
        engine.stop(5)


def mail_by(route, number):
    from otpmail.backends.outbox import EmailBackend as Outbox

    Outbox(routes=[route]).send_messages(
        [EmailMessage("hello", "body", "a@example.org", [f"b{number}@example.org"])]
    )


@pytest.mark.long
def test_other_mail_behind_a_thousand_of_a_shut_route_is_sent(settings, deaf, server):
    settings.MAILERS = settings.MAILERS | {
        "bulk": {
            "BACKEND": mailserver.OUR_BACKEND,
            "OPTIONS": {"host": "127.0.0.1", "port": mailserver.free_port(), "timeout": 5},
        }
    }
    settings.OTPMAIL_SWEEP_SECONDS = 0.2
    from django.db import transaction

    with transaction.atomic():
        for number in range(1400):
            mail_by("bulk", number)
    mail_by("default", 0)
    circuits["bulk"].record(
        Outcome(kind=Kind.TRANSIENT, reply="later", blame=Blame.ROUTE, retry_after_seconds=300),
        probe=False,
    )
    engine = ThreadsEngine()
    engine.start()
    try:
        server.wait_for(1, seconds=60)
    finally:
        engine.stop(5)


def test_famine_while_a_route_is_shut_is_no_hot_loop(settings, deaf, server, monkeypatch):
    engine = ThreadsEngine()
    looks = []
    look = engine._look
    engine._look = lambda: (looks.append(1), look())[1]
    engine.start()
    wait_until(lambda: engine.is_well)
    start = threading.Thread.start

    def starve(thread):
        if thread.name.startswith("otpmail"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starve)
    try:
        for _ in range(3):
            circuits["default"].record(FAULT, probe=False)
        time.sleep(1)
        looks.clear()
        time.sleep(2)
        assert len(looks) < 20, len(looks)
    finally:
        monkeypatch.setattr(threading.Thread, "start", start)
        engine.stop(5)


def test_panic_of_a_receiver_of_a_circuit_doubles_nothing(settings, deaf, server):
    def panics(**_):
        raise Panic

    signals.circuit_closed.connect(panics)
    try:
        for _ in range(3):
            circuits["default"].record(FAULT, probe=False)
        circuits["default"]._asked_at = 0
        promise()
        (mine,) = leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
        for _ in range(2):
            courier.run([mine], ME)
        assert len(server.mails) == 1
    finally:
        signals.circuit_closed.disconnect(panics)


class HangsOnce(EmailBackend):
    """Its first connection never gets an answer."""

    hangs: ClassVar[bool] = True
    let_go: ClassVar[threading.Event] = threading.Event()

    def open(self):
        if type(self).hangs:
            type(self).hangs = False
            self.let_go.wait(90)
        return super().open()


def test_knock_that_hangs_does_not_shut_the_route_for_ever(settings, deaf):
    mailserver.route_through(settings, "tests.integration.engines.test_rare.HangsOnce")
    HangsOnce.hangs = True
    HangsOnce.let_go.clear()
    settings.OTPMAIL_SWEEP_SECONDS = 0.2
    settings.OTPMAIL_LEASE_SECONDS = 4
    for _ in range(3):
        circuits["default"].record(FAULT, probe=False)
    promise()
    engine = ThreadsEngine()
    engine.start()
    try:
        wait_until(lambda: not HangsOnce.hangs)
        wait_until(lambda: states() == {"accepted"}, seconds=25)
    finally:
        HangsOnce.let_go.set()
        engine.stop(5)


class BreaksToOpen(EmailBackend):
    """Its token service answers with something that is no JSON."""

    def open(self):
        raise ValueError("Expecting value: line 1 column 1 (char 0)")


def test_knock_that_meets_a_value_error_is_no_hot_loop(settings, deaf):
    mailserver.route_through(settings, "tests.integration.engines.test_rare.BreaksToOpen")
    for _ in range(3):
        circuits["default"].record(FAULT, probe=False)
    engine = ThreadsEngine()
    looks = []
    look = engine._look
    engine._look = lambda: (looks.append(1), look())[1]
    engine.start()
    try:
        time.sleep(1)
        looks.clear()
        time.sleep(2)
        assert len(looks) < 20, len(looks)
    finally:
        engine.stop(5)


def test_queue_whose_couriers_stand_still_keeps_nothing_from_others(settings, deaf, gate):
    settings.OTPMAIL_SWEEP_SECONDS = 0.2
    for number in range(40):
        mail_by("default", number)
    engine = ThreadsEngine()
    engine.start()
    try:
        wait_until(lambda: len(Gated.in_hand) == 2)
        time.sleep(3)
        assert most_held(engine, looks=20) <= 2
    finally:
        gate.set()
        engine.stop(5)


def test_acceptance_is_written_once_by_two_who_try(settings, deaf, server):
    """Where as many are remembered as may be, a courier and the writer both write one."""
    from uuid import uuid4

    settings.OTPMAIL_QUEUE_SIZE = 0
    both, calls = threading.Barrier(2, timeout=10), []

    def record():
        calls.append(1)
        pending_writes._writer.wake()
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait()

    pending_writes._writer.ensure()
    pending_writes.remember(uuid4(), ME, record)
    pending_writes._writer.wake()
    assert len(calls) == 1


def test_panic_of_a_receiver_of_an_end_does_not_end_the_sweep(settings, deaf, server, pass_time):
    def panics(**_):
        raise Panic

    pass_time(promise().challenge_id, 4000)
    looked = []
    settings.OTPMAIL_SWEEP_SECONDS = 0.1
    signals.challenge_ended.connect(panics)
    engine = ThreadsEngine(after_sweep=lambda: looked.append(1))
    engine.start()
    try:
        wait_until(lambda: looked)
    finally:
        signals.challenge_ended.disconnect(panics)
        engine.stop(5)


def test_code_of_a_purpose_leaves_as_soon_as_its_route_is_back(settings, deaf, server):
    """It was declined while its route was shut, and is left alone for ten seconds more."""
    port = mailserver.free_port()
    settings.MAILERS = settings.MAILERS | {
        "vip": {
            "BACKEND": mailserver.OUR_BACKEND,
            "OPTIONS": {"host": "127.0.0.1", "port": port, "timeout": 5},
        }
    }
    settings.OTPMAIL_PURPOSES = {"vip": {"ROUTES": ["vip"]}}
    settings.OTPMAIL_SWEEP_SECONDS = 0.2
    for _ in range(3):
        circuits["vip"].record(FAULT, probe=False)
    promise(purpose="vip")
    engine = ThreadsEngine()
    engine.start()
    try:
        mine = Delivery.objects.get().pk
        wait_until(lambda: engine._claims.backoff._until.get(mine, (0, 0))[1] >= 8)
        circuits["vip"].record(FAULT, probe=False)
        wait_until(lambda: mine in engine._claims.backoff.now())
        engine._claims.backoff._until[mine] = (time.monotonic() + 3600, 10)
        with mailserver.running(port=port):
            wait_until(lambda: states() == {"accepted"})
    finally:
        engine.stop(5)


def test_acceptance_that_meets_an_interface_error_is_not_sent_again(
    settings, deaf, server, monkeypatch
):
    """Django's InterfaceError is no DatabaseError; psycopg2 and PyMySQL raise it when closed."""
    from django.db import InterfaceError

    promise()
    (mine,) = leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    settle, times = settling.settle, []

    def closed(*args, **kwargs):
        times.append(1)
        if len(times) == 1:
            raise InterfaceError("connection already closed")
        return settle(*args, **kwargs)

    monkeypatch.setattr(settling, "settle", closed)
    for _ in range(2):
        courier.run([mine], ME)
    assert len(server.mails) == 1


def test_knock_on_a_silent_server_does_not_say_that_it_answers(settings, deaf, server):
    """An idle session of the pool is no evidence: nobody was asked."""
    from otpmail.routes import transport
    from tests.proxy import proxy

    with proxy(server.port) as between:
        mailserver.route_to(settings, between.port, timeout=2)
        assert transport.open_session("default", seconds=2) is None
        between.hang()
        assert transport.open_session("default", seconds=2) is not None


def test_panic_of_a_receiver_of_what_was_remembered_does_not_write_it_for_ever(
    settings, deaf, server, monkeypatch
):
    from django.db import OperationalError

    from otpmail.models import Attempt

    def panics(**_):
        raise Panic

    promise()
    (mine,) = leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    settle, until = settling.settle, time.monotonic() + 1.5

    def away(*args, **kwargs):
        if time.monotonic() < until:
            raise OperationalError
        return settle(*args, **kwargs)

    monkeypatch.setattr(settling, "settle", away)
    signals.delivery_accepted.connect(panics)
    try:
        courier.run([mine], ME)
        assert pending_writes.known()
        wait_until(Attempt.objects.exists)
        time.sleep(5)
        assert (Attempt.objects.count(), pending_writes.known()) == (1, set())
    finally:
        signals.delivery_accepted.disconnect(panics)
        wait_until(lambda: not pending_writes.known(), seconds=10)


def test_receiver_of_a_circuit_that_panics_does_not_shut_a_route_for_ever(settings, deaf, server):
    def panics(**_):
        raise Panic

    circuit = circuits["default"]
    for _ in range(3):
        circuit.record(FAULT, probe=False)
    circuit._asked_at = 0
    signals.circuit_stays_open.connect(panics)
    try:
        leave = circuit.acquire(alone=True)
        leave.end(FAULT)
    finally:
        signals.circuit_stays_open.disconnect(panics)
    wait_until(lambda: circuit.acquire(alone=True) is not None, seconds=5)
