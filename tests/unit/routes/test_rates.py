"""How many mails a route bears, and who goes first."""

import math
import threading
import time

import pytest

from otpmail.routes.rates import gates
from tests.waiting import wait_until


@pytest.fixture
def gate(settings):
    def make(**rules):
        settings.OTPMAIL_ROUTE_RATES = {"a": rules}
        return gates["a"]

    return make


def enter(gate, *, deadline=math.inf, seconds=5.0):
    return gate.enter(deadline=deadline, until=time.monotonic() + seconds)


def test_route_without_a_rate_holds_nobody_up(gate):
    started = time.monotonic()
    assert all(enter(gate()) for _ in range(1000))
    assert time.monotonic() - started < 1


def test_so_many_a_second_and_no_more(gate):
    five = gate(PER_SECOND=5)
    begun = []
    for _ in range(11):
        assert enter(five)
        begun.append(time.monotonic())
    assert all(begun[i + 5] - begun[i] >= 0.99 for i in range(6))
    assert begun[4] - begun[0] < 0.5  # a burst is not spread out


def test_so_many_at_once_and_no_more(gate):
    two = gate(AT_ONCE=2)
    assert enter(two)
    assert enter(two)
    assert not enter(two, seconds=0.05)
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


def test_who_gives_up_waiting_holds_up_nobody(gate):
    one = gate(AT_ONCE=1)
    enter(one)
    hasty = threading.Thread(target=enter, args=(one,), kwargs={"deadline": 1, "seconds": 0.1})
    hasty.start()
    wait_until(lambda: one._waiting)
    hasty.join()
    one.leave()
    assert enter(one, deadline=2, seconds=0)
