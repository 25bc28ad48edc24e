"""How many mails go together."""

import pytest

from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import batch_size, hedging
from otpmail.routes.circuits import circuits
from tests import mailserver

DOWN = Outcome(kind=Kind.PERMANENT, reply="", blame=Blame.ROUTE)


@pytest.fixture(autouse=True)
def two(settings, clock):
    mailserver.routes_to(settings, a=1, b=2)


def test_route_of_which_nothing_is_known_gets_one_at_a_time():
    assert batch_size(["a", "b"]) == 1


@pytest.mark.parametrize(("seconds", "mails"), [(0.002, 8), (0.05, 5), (0.2, 1), (3, 1)])
def test_load_is_a_moments_work_for_the_first_route(seconds, mails):
    hedging.took("a", seconds)
    assert batch_size(["a", "b"]) == mails
    assert batch_size(["b", "a"]) == 1


def test_it_is_the_first_open_route_that_counts():
    hedging.took("a", 3)
    hedging.took("b", 0.001)
    circuits["a"].acquire(alone=False).record(DOWN)
    assert batch_size(["a", "b"]) == 8


def test_where_only_a_probe_may_leave_it_leaves_alone():
    hedging.took("a", 0.001)
    circuits["a"].acquire(alone=False).record(DOWN)
    assert batch_size(["a"]) == 1


def test_route_that_keeps_a_rate_gets_one_at_a_time(settings):
    settings.OTPMAIL_ROUTE_RATES = {"b": {"AT_ONCE": 2}}
    hedging.took("a", 0.001)
    assert batch_size(["a", "b"]) == 1
    assert batch_size(["a"]) == 8


def test_backend_that_does_not_keep_its_time_gets_one_at_a_time(settings):
    mailserver.route_to(settings, 1, backend=mailserver.DJANGOS_BACKEND)
    hedging.took("default", 0.001)
    assert batch_size(["default"]) == 1


def test_where_a_probe_is_due_one_mail_goes_to_see(clock):
    hedging.took("b", 0.001)
    circuits["a"].acquire(alone=False).record(DOWN)
    assert batch_size(["a", "b"]) == 8
    clock.move(60)
    assert batch_size(["a", "b"]) == 1
    assert batch_size(["b", "a"]) == 8


def test_load_is_not_taken_for_silence(settings):
    settings.OTPMAIL_HEDGE_AFTER = 0.1
    hedging.took("a", 0.01)
    assert batch_size(["a", "b"]) == 2
