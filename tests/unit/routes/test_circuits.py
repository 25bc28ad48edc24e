"""Which mails may use a route, and what of their fate counts."""

import logging
import os
from collections import Counter
from dataclasses import replace

import pytest

from otpmail.outcomes import Blame, Kind, Outcome, of_error, of_reply
from otpmail.routes import circuits
from otpmail.routes.circuits import Circuit, Standing
from tests.crowd import at_once

DEAD = of_error(ConnectionRefusedError("refused"), sending=False)
WRONG_PASSWORD = of_reply(535, "5.7.8 wrong password", blame=Blame.ROUTE)
NO_SUCH_USER = of_reply(550, "5.1.1 no such user")
MAILBOX_BUSY = of_reply(450, "4.2.1 mailbox busy")
DOWN = of_reply(451, "4.3.2 down")
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


def tell(circuit, *outcomes, alone=True):
    for outcome in outcomes:
        leave = circuit.enter(alone=alone)
        assert leave is not None
        leave.end(outcome)


def wait_for_probe(circuit):
    circuits.time.move(circuit.wait_seconds(alone=True))


def standing(circuit):
    return circuit.state.standing


@pytest.mark.parametrize("fault", [DEAD, DOWN], ids=lambda fault: fault.reply)
def test_faults_in_a_row_open_it(circuit, fault):
    tell(circuit, fault, fault, TAKEN, fault, fault)
    assert standing(circuit) is Standing.CLOSED
    tell(circuit, fault)
    assert standing(circuit) is Standing.OPEN
    assert circuit.enter(alone=True) is None


def test_number_of_faults_is_a_setting(circuit, settings):
    settings.OTPMAIL_CIRCUIT_FAULTS = 1
    tell(circuit, DEAD)
    assert standing(circuit) is Standing.OPEN


def test_route_that_asks_to_be_left_alone_is(circuit):
    tell(circuit, LEAVE_ME)
    assert standing(circuit) is Standing.OPEN
    assert circuit.wait_seconds(alone=True) == 60


def test_but_not_for_hours(circuit):
    tell(circuit, replace(LEAVE_ME, retry_after_seconds=3600))
    assert circuit.wait_seconds(alone=True) == circuits.MAX_LEFT_ALONE_SECONDS


def test_fault_that_is_permanent_opens_it_at_once(circuit):
    tell(circuit, WRONG_PASSWORD)
    assert standing(circuit) is Standing.OPEN


@pytest.mark.parametrize("refusal", [NO_SUCH_USER, MAILBOX_BUSY, NO_ADDRESS], ids=lambda r: r.reply)
def test_refusal_of_a_recipient_never_feeds_it(circuit, refusal):
    tell(circuit, *[refusal] * 100)
    assert circuit.state.faults == 0


def test_server_that_refuses_a_recipient_has_answered(circuit):
    tell(circuit, DEAD, DEAD, NO_SUCH_USER, DEAD, DEAD)
    assert standing(circuit) is Standing.CLOSED


def test_mail_that_never_came_to_the_route_proves_nothing(circuit):
    tell(circuit, DEAD, DEAD, NO_ADDRESS, None, DEAD)
    assert standing(circuit) is Standing.OPEN


def test_of_many_threads_exactly_one_probes(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    leaves = at_once(*[lambda: circuit.enter(alone=True)] * 50)
    assert len([leave for leave in leaves if leave is not None]) == 1
    assert standing(circuit) is Standing.HALF_OPEN


@pytest.mark.parametrize("answer", [TAKEN, NO_SUCH_USER, MAILBOX_BUSY], ids=lambda a: a.reply)
def test_probe_that_is_answered_closes_it(circuit, answer):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    tell(circuit, answer)
    assert standing(circuit) is Standing.CLOSED
    tell(circuit, *[TAKEN] * 2)


def test_probe_in_vain_opens_it_again_at_its_first_fault(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    tell(circuit, DEAD)
    assert standing(circuit) is Standing.OPEN
    assert circuit.enter(alone=True) is None


def test_probe_that_was_not_wanted_leaves_it_to_the_next(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    tell(circuit, None)
    assert standing(circuit) is Standing.OPEN
    tell(circuit, TAKEN)
    assert standing(circuit) is Standing.CLOSED


def test_probe_that_hangs_is_the_only_one_for_half_a_lease_and_few_may_hang(circuit):
    """A backend that hangs for ever must not gather a thread a second, nor shut its route."""
    tell(circuit, DEAD, DEAD, DEAD)
    wait_for_probe(circuit)
    hanging = circuit.enter(alone=True)
    hanging.judge(Outcome(kind=Kind.UNKNOWN, reply="silent", blame=Blame.ROUTE))
    assert standing(circuit) is Standing.OPEN
    circuits.time.move(30)
    assert circuit.enter(alone=True) is None
    for _ in range(circuits.MOST_PROBES - 1):
        circuits.time.move(3)
        assert circuit.enter(alone=True).is_probe
        circuits.time.move(30)
    circuits.time.move(3600)
    assert circuit.enter(alone=True) is None
    hanging.end(TAKEN)
    assert standing(circuit) is Standing.OPEN  # it counted once, as a fault
    assert circuit.enter(alone=True) is not None


def test_mail_that_set_out_before_it_opened_does_not_close_it(circuit):
    early = circuit.enter(alone=True)
    tell(circuit, DEAD, DEAD, DEAD)
    early.end(TAKEN)
    assert standing(circuit) is Standing.OPEN


def test_pause_grows_while_there_is_another_way_out_and_not_without(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    for _ in range(3):
        wait_for_probe(circuit)
        tell(circuit, DEAD)
    assert circuit.wait_seconds(alone=False) == 8 * circuits.PAUSE_SECONDS
    assert circuit.wait_seconds(alone=True) == circuits.PAUSE_SECONDS


def test_pause_has_an_end(circuit):
    tell(circuit, DEAD, DEAD, DEAD)
    for _ in range(2000):
        wait_for_probe(circuit)
        tell(circuit, DEAD)
    assert circuit.wait_seconds(alone=False) == circuits.MAX_PAUSE_SECONDS


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
    leaves = [circuit.enter(alone=True) for _ in range(20)]
    for leave in leaves:
        leave.end(DEAD)
    assert Counter(r.levelname for r in caplog.records) == {"ERROR": 1}


def test_a_way_is_open_if_one_route_is(settings):
    settings.MAILERS = {}
    for route in ("a", "b"):
        assert circuits.wait_seconds(["a", "b"]) == 0
        tell(circuits.circuits[route], WRONG_PASSWORD)
    assert circuits.are_shut(["a", "b"])
    assert circuits.wait_seconds(["a", "b"]) == circuits.PAUSE_SECONDS
    assert {state.standing for state in circuits.states().values()} == {Standing.OPEN}


def test_new_mailers_have_no_past(settings):
    settings.MAILERS = {}
    tell(circuits.circuits["a"], WRONG_PASSWORD)
    settings.MAILERS = {"a": {}}
    assert circuits.states() == {}


def test_forked_child_begins_anew(settings):
    """And with locks of its own: the parent's may be held by threads that did not come along."""
    settings.MAILERS = {}
    tell(circuits.circuits["a"], WRONG_PASSWORD)
    with circuits.circuits["a"]._lock:
        if (pid := os.fork()) == 0:
            closed = circuits.circuits["a"].state.standing is Standing.CLOSED
            os._exit(0 if closed else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert circuits.circuits["a"].state.standing is Standing.OPEN
