"""Which mails may use a route, and what of their fate counts."""

import logging
import os
import smtplib
import ssl
from collections import Counter
from dataclasses import replace

import pytest

from otpmail.outcomes import Blame, Kind, Outcome, Stage, of_error, of_reply
from otpmail.routes import circuits
from otpmail.routes.circuits import JITTER, Circuit, CircuitState
from tests.crowd import at_once

DEAD = of_error(ConnectionRefusedError("refused"), sending=False)
WRONG_PASSWORD = of_reply(535, "5.7.8 wrong password", stage=Stage.OPENING)
NO_SUCH_USER = of_reply(550, "5.1.1 no such user")
MAILBOX_BUSY = of_reply(450, "4.2.1 mailbox busy")
DOWN = of_reply(451, "4.3.2 down")
SENDER_REFUSED = of_reply(550, "who?", stage=Stage.SENDER)
UNAUTHENTICATED = of_reply(550, "5.7.26 unauthenticated")
BLOCKED = of_reply(550, "5.7.1 blocked using bl.test", stage=Stage.RECIPIENT)
SLOW_DOMAIN = Outcome(kind=Kind.UNKNOWN, reply="timed out", blame=Blame.ROUTE, is_local=True)
BAD_CERTIFICATE = of_error(ssl.SSLCertVerificationError("expired"), sending=False)
NO_STARTTLS = of_error(smtplib.SMTPNotSupportedError("STARTTLS"), sending=False)
TAKEN = of_reply(250, "2.0.0 ok")
LEAVE_ME = Outcome(
    kind=Kind.TRANSIENT, reply="", code=429, blame=Blame.ROUTE, retry_after_seconds=60
)
NO_ADDRESS = of_error(ValueError("Invalid address"), sending=False)


@pytest.fixture(autouse=True)
def stopped(clock):
    """No pause ends by itself."""


@pytest.fixture
def circuit() -> Circuit:
    return Circuit("a")


def tell(circuit, *outcomes, alone=True, domain="example.org", has_other=False):
    for outcome in outcomes:
        permit = circuit.acquire(alone=alone)
        assert permit is not None
        permit.end(outcome, domain=domain, has_other=has_other)


def wait_for_probe(circuit):
    circuits.time.move(circuit.wait_seconds(alone=True))


def state(circuit):
    return circuit.status.state


@pytest.mark.parametrize("fault", [DEAD, DOWN], ids=lambda fault: fault.reply)
def test_faults_in_a_row_open_it(circuit, fault):
    tell(circuit, fault, fault, TAKEN, fault, fault)
    assert state(circuit) is CircuitState.CLOSED
    tell(circuit, fault)
    assert state(circuit) is CircuitState.OPEN
    assert circuit.acquire(alone=True) is None


def test_number_of_faults_is_a_setting(circuit, settings):
    settings.OTPMAIL_CIRCUIT_FAULTS = 1
    tell(circuit, DEAD)
    assert state(circuit) is CircuitState.OPEN


def test_route_that_asks_to_be_left_alone_is(circuit):
    tell(circuit, LEAVE_ME)
    assert state(circuit) is CircuitState.OPEN
    assert circuit.wait_seconds(alone=True) == 60


def test_but_not_for_hours(circuit):
    tell(circuit, replace(LEAVE_ME, retry_after_seconds=3600))
    assert circuit.wait_seconds(alone=True) == circuits.MAX_LEFT_ALONE_SECONDS


def test_fault_that_is_permanent_opens_it_at_once(circuit):
    tell(circuit, WRONG_PASSWORD)
    assert state(circuit) is CircuitState.OPEN


@pytest.mark.parametrize("refusal", [NO_SUCH_USER, MAILBOX_BUSY, NO_ADDRESS], ids=lambda r: r.reply)
def test_refusal_of_a_recipient_never_feeds_it(circuit, refusal):
    tell(circuit, *[refusal] * 100)
    assert circuit.status.faults == 0


def test_server_that_refuses_a_recipient_has_answered(circuit):
    tell(circuit, DEAD, DEAD, NO_SUCH_USER, DEAD, DEAD)
    assert state(circuit) is CircuitState.CLOSED


def test_mail_that_never_came_to_the_route_proves_nothing(circuit):
    tell(circuit, DEAD, DEAD, NO_ADDRESS, None, DEAD)
    assert state(circuit) is CircuitState.OPEN


def test_of_many_threads_exactly_one_probes(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    permits = at_once(*[lambda: circuit.acquire(alone=True)] * 50)
    assert len([permit for permit in permits if permit is not None]) == 1
    assert state(circuit) is CircuitState.HALF_OPEN


@pytest.mark.parametrize("answer", [TAKEN, NO_SUCH_USER, MAILBOX_BUSY], ids=lambda a: a.reply)
def test_probe_that_is_answered_closes_it(circuit, answer):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    tell(circuit, answer)
    assert state(circuit) is CircuitState.CLOSED
    tell(circuit, *[TAKEN] * 2)


def test_probe_in_vain_opens_it_again_at_its_first_fault(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    tell(circuit, DEAD)
    assert state(circuit) is CircuitState.OPEN
    assert circuit.acquire(alone=True) is None


def test_probe_that_was_not_wanted_leaves_it_to_the_next(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    tell(circuit, None)
    assert state(circuit) is CircuitState.OPEN
    tell(circuit, TAKEN)
    assert state(circuit) is CircuitState.CLOSED


def test_probe_that_hangs_is_the_only_one_for_half_a_lease_and_few_may_hang(circuit):
    """A backend that hangs for ever must not gather a thread a second, nor shut its route."""
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    hanging = circuit.acquire(alone=True)
    hanging.record(Outcome(kind=Kind.UNKNOWN, reply="silent", blame=Blame.ROUTE))
    assert state(circuit) is CircuitState.OPEN
    circuits.time.move(30)
    assert circuit.acquire(alone=True) is None
    for _ in range(circuits.MOST_PROBES - 1):
        circuits.time.move(3)
        assert circuit.acquire(alone=True).is_probe
        circuits.time.move(30)
    circuits.time.move(3600)
    assert circuit.acquire(alone=True) is None
    hanging.end(TAKEN)
    assert state(circuit) is CircuitState.OPEN  # it counted once, as a fault
    assert circuit.acquire(alone=True) is not None


def test_mail_that_set_out_before_it_opened_does_not_close_it(circuit):
    early = circuit.acquire(alone=True)
    tell(circuit, DEAD, DEAD, DEAD)
    early.end(TAKEN)
    assert state(circuit) is CircuitState.OPEN


def pauses(circuit, fault, count, *, alone):
    """Open it, and let so many probes find the fault again; gives the pause after each."""
    while circuit.is_closed:
        tell(circuit, fault)
    for _ in range(count):
        yield circuit.wait_seconds(alone=alone)
        circuits.time.move(circuit.wait_seconds(alone=False))
        tell(circuit, fault)


@pytest.mark.parametrize(
    ("fault", "alone", "plain"),
    [
        (DEAD, False, [0.5, 1, 2, 4, 8, 16, 30, 30]),
        (DEAD, True, [0.5, 1, 1.2, 1.2, 1.2, 1.2]),
        (SENDER_REFUSED, True, [0.5, 1, 2, 4, 8, 16, 30, 30]),
        (WRONG_PASSWORD, True, [60, 120, 240, 480, 900, 900]),
        (WRONG_PASSWORD, False, [60, 120, 240, 480, 900, 900]),
        (BAD_CERTIFICATE, True, [60, 120, 240]),
        (NO_STARTTLS, True, [60, 120, 240]),
    ],
    ids=lambda x: getattr(x, "reply", None) or str(x),
)
def test_pauses_double_up_to_the_most_each_with_jitter(circuit, fault, alone, plain):
    for pause, expected in zip(pauses(circuit, fault, len(plain), alone=alone), plain, strict=True):
        assert (1 - JITTER) * expected <= pause <= (1 + JITTER) * expected


def test_return_of_a_route_that_is_away_shows_within_two_seconds(circuit):
    assert max(pauses(circuit, DEAD, 200, alone=True)) <= 1.5


def test_pauses_of_two_processes_differ():
    told = [[*pauses(Circuit("a"), DEAD, 3, alone=True)] for _ in range(2)]
    assert told[0] != told[1]


def test_another_kind_of_fault_begins_with_its_own_first_pause(circuit):
    [*pauses(circuit, WRONG_PASSWORD, 5, alone=True)]
    circuits.time.move(1200)
    tell(circuit, DEAD)
    assert circuit.wait_seconds(alone=True) <= 0.5 * (1 + JITTER)


# What one recipient's domain alone meets


def test_policy_of_one_domain_shuts_no_route_that_is_the_only_one(circuit):
    tell(circuit, *[BLOCKED] * 20)
    assert circuit.is_closed
    assert circuit.status.faults == 20


def test_policy_of_one_domain_shuts_a_route_that_is_not_the_only_one(circuit):
    """That loses nothing: the mails leave by the other."""
    tell(circuit, *[BLOCKED] * 2, has_other=True)
    assert circuit.is_closed
    tell(circuit, BLOCKED, has_other=True)
    assert circuit.is_open


@pytest.mark.parametrize("has_other", [False, True])
def test_silence_for_one_domain_shuts_no_route(circuit, has_other):
    tell(circuit, *[SLOW_DOMAIN] * 20, has_other=has_other)
    assert circuit.is_closed


@pytest.mark.parametrize("fault", ["BLOCKED", "SLOW_DOMAIN"])
def test_what_several_domains_meet_speaks_of_the_route(circuit, fault):
    fault = globals()[fault]
    tell(circuit, fault, fault)
    tell(circuit, fault, domain="example.net")
    assert circuit.is_open


def test_silence_for_one_domain_adds_nothing_to_a_broken_line(circuit):
    tell(circuit, DEAD, SLOW_DOMAIN, SLOW_DOMAIN, DEAD)
    assert circuit.is_closed
    tell(circuit, DEAD)
    assert circuit.is_open


@pytest.mark.parametrize("fault", ["UNAUTHENTICATED", "SENDER_REFUSED"])
def test_what_every_mail_of_this_sender_meets_shuts_it_at_once(circuit, fault):
    tell(circuit, globals()[fault])
    assert circuit.is_open


def test_that_it_stays_open_is_told_once_a_minute_with_a_count(circuit, caplog):
    tell(circuit, DEAD, DEAD, DEAD)
    began = circuits.time.monotonic()
    while circuits.time.monotonic() - began < 300:
        wait_for_probe(circuit)
        tell(circuit, DEAD)
    told = [r.message for r in caplog.records if "stays open" in r.message]
    assert 5 <= len(told) <= 6
    assert "asked=1 " in told[0]
    counts = [int(line.partition("asked=")[2].partition(" ")[0]) for line in told[1:]]
    assert min(counts) >= 60 / 1.5


def test_each_change_is_one_line(circuit, caplog):
    caplog.set_level(logging.INFO)
    tell(circuit, DEAD, DEAD, DEAD)
    for outcome in (DEAD, TAKEN):
        wait_for_probe(circuit)
        tell(circuit, outcome)
    told = [(r.levelname, r.message.split(" route")[0]) for r in caplog.records]
    assert told == [
        ("ERROR", "Email circuit opened"),
        ("WARNING", "Email circuit stays open"),
        ("INFO", "Email circuit closed"),
    ]
    assert "refused" in caplog.text


def test_many_faults_at_once_open_it_once(circuit, caplog):
    permits = [circuit.acquire(alone=True) for _ in range(20)]
    for permit in permits:
        permit.end(DEAD)
    assert Counter(r.levelname for r in caplog.records) == {"ERROR": 1}


def test_a_way_is_open_if_one_route_is(settings):
    settings.MAILERS = {}
    for route in ("a", "b"):
        assert circuits.wait_seconds(["a", "b"]) == 0
        tell(circuits.circuits[route], WRONG_PASSWORD)
    assert circuits.all_unavailable(["a", "b"])
    assert 0 < circuits.wait_seconds(["a", "b"]) <= 60 * (1 + JITTER)
    assert {state.state for state in circuits.circuit_statuses().values()} == {CircuitState.OPEN}


def test_new_mailers_have_no_past(settings):
    settings.MAILERS = {}
    tell(circuits.circuits["a"], WRONG_PASSWORD)
    settings.MAILERS = {"a": {}}
    assert circuits.circuit_statuses() == {}


def test_forked_child_begins_anew(settings):
    """And with locks of its own: the parent's may be held by threads that did not come along."""
    settings.MAILERS = {}
    tell(circuits.circuits["a"], WRONG_PASSWORD)
    with circuits.circuits["a"]._lock:
        if (pid := os.fork()) == 0:
            closed = circuits.circuits["a"].status.state is CircuitState.CLOSED
            os._exit(0 if closed else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert circuits.circuits["a"].status.state is CircuitState.OPEN


def test_circuit_that_flaps_calls_somebody_once_a_minute(circuit, caplog):
    for _ in range(3):
        tell(circuit, *[DEAD] * 3)
        wait_for_probe(circuit)
        tell(circuit, TAKEN)
    circuits.time.move(60)
    tell(circuit, *[DEAD] * 3)
    opened = [record.levelname for record in caplog.records if "opened" in record.getMessage()]
    assert opened == ["ERROR", "WARNING", "WARNING", "ERROR"]
