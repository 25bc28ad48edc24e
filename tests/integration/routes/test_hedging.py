"""A route that is silent is hedged; real and scripted servers at the other end."""

import threading
import time

import pytest
from django.core.mail import EmailMessage

from otpmail import routes
from otpmail.backends import smtp
from otpmail.backends.outbox import EmailBackend
from otpmail.db import database
from otpmail.delivery import leases
from otpmail.models import Delivery, Queue
from otpmail.routes import hedging
from tests import mailserver
from tests.rounds import ME, carry, one_round, promise, tried
from tests.scripted import OFFER_PIPELINING, scripted
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def second(settings):
    settings.OTPMAIL_HEDGE_AFTER = 0.2
    with mailserver.running() as server:
        yield server
        routes.close()


@pytest.fixture
def first():
    with mailserver.running() as server:
        yield server


def silent(talk):
    talk.wait_for_end()


def test_silent_route_costs_what_the_rule_says_and_no_more(settings, second):
    with scripted(silent) as first:
        mailserver.routes_to(settings, a=first.port, b=second.port)
        promise()
        started = time.monotonic()
        assert carry() == [None]  # though it would be silent for much longer
        assert time.monotonic() - started >= 0.2
        assert tried() == [("b", "accepted")]
        assert routes.circuit_statuses()["a"].faults == 1


def test_mail_that_is_no_code_is_never_at_two_routes_at_once(settings, first, second):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    mailserver.routes_to(settings, a=first.port, b=second.port)
    first.delay_seconds = 0.5
    newsletter = EmailMessage("News", "old", "news@example.org", ["alice@example.org"])
    EmailBackend(routes=["a", "b"]).send_messages([newsletter])
    (delivery_id,) = leases.claim(ME, queue=Queue.MAIL, now=database.now(), limit=1)
    assert one_round(delivery_id) is None
    assert tried() == [("a", "accepted")]
    assert second.mails == []


def test_hedges_that_win_open_the_circuit_of_the_silent_route(no_probe, settings, second):
    with scripted(silent) as first:
        mailserver.routes_to(settings, a=first.port, b=second.port)
        for _ in range(5):
            promise()
        carry()
        assert routes.circuit_statuses()["a"].state is routes.CircuitState.OPEN
        assert len(first.talks) == 3


def test_without_hedging_a_silent_route_is_waited_for(settings, second):
    settings.OTPMAIL_HEDGE_AFTER = None
    with scripted(silent) as first:
        mailserver.routes_to(settings, a=first.port, b=second.port, timeout=0.5)
        promise()
        started = time.monotonic()
        carry()
        assert time.monotonic() - started >= 0.5
        assert tried() == [("a", "transient"), ("b", "accepted")]


def test_mail_that_waits_is_not_left_alone_when_others_find_the_route_out(settings, second):
    settings.OTPMAIL_HEDGE_AFTER = 60
    with scripted(silent) as first:
        mailserver.routes_to(settings, a=first.port, b=second.port, timeout=60)
        promise()

        def find_out():
            wait_until(lambda: first.talks)
            for _ in range(3):
                routes.circuits.circuits["a"].acquire(alone=False).record(
                    routes.failover.LOST_HEDGE
                )

        finder = threading.Thread(target=find_out)
        finder.start()
        carry()
        finder.join()
        assert tried() == [("b", "accepted")]


def test_loser_is_stopped_before_its_envelope(settings, second):
    won = threading.Event()

    def slow(talk):
        won.wait(60)
        talk.greet()
        while talk.hear() != b"QUIT":
            pass

    with scripted(slow) as first:
        mailserver.routes_to(settings, a=first.port, b=second.port)
        promise()
        carry()
        won.set()
        routes_idle()
        smtp.close_pools()  # it takes leave of a session that it did not use
        (talk,) = first.talks
        wait_until(lambda: talk.heard[-1:] == [b"QUIT"])
        assert [line[:4] for line in talk.heard] == [b"EHLO", b"QUIT"]
    assert tried() == [("b", "accepted")]


def test_loser_is_stopped_before_its_body(settings, second):
    """Where the body is a step of its own; a body in the envelope's flight cannot be stopped."""
    asked, won, ended, bodies = threading.Event(), threading.Event(), threading.Event(), []
    second.may_take = asked.is_set

    def slow(talk):
        talk.greet(OFFER_PIPELINING)
        while talk.hear() != b"DATA":
            talk.say(b"250 2.0.0 ok\r\n")
        asked.set()
        won.wait(60)
        talk.say(b"354 go on\r\n")
        try:
            bodies.append(talk.hear_body())
        finally:
            ended.set()

    with scripted(slow) as first:
        mailserver.routes_to(settings, a=first.port, b=second.port)
        promise()
        carry()
        won.set()
        assert ended.wait(60)
    assert bodies == []
    routes_idle()
    assert tried() == [("b", "accepted")]


def test_losers_late_acceptance_is_recorded_and_harms_nothing(settings, first, second):
    settled = threading.Event()
    first.may_take = settled.is_set
    second.may_take = lambda: first.in_hand
    mailserver.routes_to(settings, a=first.port, b=second.port)
    promise()
    assert carry() == [None]
    assert tried() == [("b", "accepted")]
    settled.set()
    wait_until(lambda: tried() == [("b", "accepted"), ("a", "accepted")])
    assert Delivery.objects.get().state == "accepted"
    (one,), (other,) = first.mails, second.mails
    assert one["Message-ID"] == other["Message-ID"]
    assert mailserver.text_of(one) == mailserver.text_of(other)


@pytest.mark.parametrize("refusal", ["550 5.1.1 no such user", "451 4.3.0 later"])
def test_acceptance_by_the_slow_route_is_not_lost_when_its_hedge_is_refused(
    settings, first, second, refusal
):
    second.rcpt = [refusal] * 2
    first.may_take = lambda: len(second.rcpt) == 1  # the hedge was refused
    mailserver.routes_to(settings, a=first.port, b=second.port)
    promise()
    assert carry() == [None]
    assert {outcome for route, outcome in tried() if route == "a"} == {"accepted"}
    assert Delivery.objects.get().state == "accepted"
    assert routes.circuit_statuses()["a"].faults == 0


def test_without_tokens_there_is_no_hedge(settings, first, second):
    first.delay_seconds = 0.6
    mailserver.routes_to(settings, a=first.port, b=second.port)
    while hedging.token_buckets["a"].take():
        pass
    for _ in range(3):
        promise()
    carry()
    assert tried() == [("a", "accepted")] * 3
    assert second.mails == []
    assert routes.circuit_statuses()["a"].state is routes.CircuitState.OPEN


def test_probe_of_a_slow_route_needs_no_token_and_does_not_close_its_circuit(
    settings, first, second
):
    settled = threading.Event()
    first.may_take = settled.is_set
    second.may_take = lambda: first.in_hand
    mailserver.routes_to(settings, a=first.port, b=second.port)
    settings.OTPMAIL_CIRCUIT_FAULTS = 1
    routes.circuits.circuits["a"].acquire(alone=False).record(routes.failover.LOST_HEDGE)
    while hedging.token_buckets["a"].take():
        pass
    routes.circuits.circuits["a"]._asked_at -= 60  # its first pause is over
    promise()
    carry()
    settled.set()
    wait_until(lambda: len(tried()) == 2)
    assert sorted(tried()) == [("a", "accepted"), ("b", "accepted")]
    assert routes.circuit_statuses()["a"].state is routes.CircuitState.OPEN


def test_hedge_that_nobody_takes_costs_no_token(settings, first, second):
    first.delay_seconds = 0.4
    mailserver.routes_to(settings, a=first.port, b=mailserver.free_port())
    settings.OTPMAIL_CIRCUIT_FAULTS = 1
    routes.circuits.circuits["b"].acquire(alone=False).record(routes.failover.LOST_HEDGE)
    routes.circuits.circuits["b"]._asked_at += 60
    promise()
    carry()
    assert sum(hedging.token_buckets["a"].take() for _ in range(30)) == 20


# Backends that do not keep their time


def test_foreign_backend_that_hangs_holds_no_courier(settings, hanging):
    """Its thread is let go; what it does in the end is recorded then."""
    settings.OTPMAIL_LEASE_SECONDS, settings.OTPMAIL_RETRY_SECONDS = 1, (0.5,)
    mailserver.route_through(settings, "tests.backends.Hanging")
    promise()
    assert carry() != [None]
    assert tried() == [("default", "unknown")]
    hanging.set()
    wait_until(lambda: len(tried()) == 2)
    assert tried()[1] == ("default", "transient")
    assert Delivery.objects.get().state == "queued"


def test_acceptance_that_nobody_waited_for_settles_the_delivery(settings, hanging):
    settings.OTPMAIL_LEASE_SECONDS, settings.OTPMAIL_RETRY_SECONDS = 1, (0.5,)
    mailserver.route_through(settings, "tests.backends.Late")
    promise()
    assert carry() != [None]
    hanging.set()
    wait_until(lambda: Delivery.objects.get().state == "accepted")
    assert Delivery.objects.get().leased_by == ""
    assert tried() == [("default", "unknown"), ("default", "accepted")]


def test_threads_end_with_their_tries(no_probe, settings, second):
    def threads():
        return [t for t in threading.enumerate() if t.name.startswith("otpmail-try")]

    with scripted(silent) as first:
        mailserver.routes_to(settings, a=first.port, b=second.port, timeout=1)
        for _ in range(10):
            promise()
        carry()
        assert len(threads()) <= 3
        wait_until(lambda: threads() == [])


def test_where_no_thread_can_be_started_mail_goes_out_all_the_same(settings, second, monkeypatch):
    """As when the process is ending, and its couriers send what is due."""

    def refuse(_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    mailserver.routes_to(settings, a=mailserver.free_port(), b=second.port)
    promise()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert carry() == [None]
    assert tried() == [("a", "transient"), ("b", "accepted")]


def routes_idle():
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("otpmail-try")])
