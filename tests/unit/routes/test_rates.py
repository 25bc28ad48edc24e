"""How many mails a route bears, and who goes first."""

import math
import threading

import pytest

from otpmail.routes import rates
from otpmail.routes.rates import gates
from tests.waiting import wait_until


@pytest.fixture
def gate(settings, clock):
    def make(**rules):
        settings.OTPMAIL_ROUTE_RATES = {"a": rules}
        return gates["a"]

    return make


def enter(gate, *, deadline=math.inf, seconds=5.0):
    return gate.enter(deadline=deadline, until=rates.time.monotonic() + seconds)


def test_route_without_a_rate_holds_nobody_up(gate):
    assert all(enter(gate(), seconds=0) for _ in range(1000))


def test_so_many_a_second_and_no_more(gate, clock):
    five, began, begun = gate(PER_SECOND=5), clock.monotonic(), []
    five._changed = clock.condition()
    for _ in range(11):
        assert enter(five)
        begun.append(clock.monotonic() - began)
    assert begun == [0] * 5 + [1] * 5 + [2]  # a burst is not spread out


def test_turn_that_comes_too_late_is_not_waited_for(gate, clock):
    one = gate(PER_SECOND=1)
    one._changed = clock.condition()
    assert enter(one)
    assert not enter(one, seconds=0.75)
    assert enter(one, seconds=0.25)


def test_so_many_at_once_and_no_more(gate):
    two = gate(AT_ONCE=2)
    assert enter(two)
    assert enter(two)
    assert not enter(two, seconds=0)
    two.leave()
    assert enter(two)


def test_most_urgent_goes_first(gate):
    one, order = gate(AT_ONCE=1), []
    enter(one)

    def wait(deadline):
        enter(one, deadline=deadline)
        order.append(deadline)
        one.leave()

    threads = [threading.Thread(target=wait, args=(deadline,)) for deadline in (3, 1, 4, 2)]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        wait_until(lambda number=number: len(one._waiting) == number)
    one.leave()
    for thread in threads:
        thread.join()
    assert order == [1, 2, 3, 4]


def test_who_gives_up_waiting_holds_up_nobody(gate, clock):
    one = gate(AT_ONCE=1)
    enter(one)
    hasty = threading.Thread(target=enter, args=(one,), kwargs={"deadline": 1, "seconds": 0.1})
    hasty.start()
    wait_until(lambda: one._waiting)
    clock.move(1)
    hasty.join()
    one.leave()
    assert enter(one, deadline=2, seconds=0)
