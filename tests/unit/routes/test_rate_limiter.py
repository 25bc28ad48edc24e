"""How many mails a route bears, and who goes first."""

import math
import threading

import pytest

from otpmail.routes import rate_limiter
from otpmail.routes.rate_limiter import rate_limiters
from tests.waiting import wait_until


@pytest.fixture
def gate(settings, clock):
    def make(**rules):
        settings.OTPMAIL_ROUTE_RATES = {"a": rules}
        return rate_limiters["a"]

    return make


def acquire(gate, *, deadline=math.inf, seconds=5.0):
    return gate.acquire(deadline=deadline, until=rate_limiter.time.monotonic() + seconds)


def test_route_without_a_rate_holds_nobody_up(gate):
    assert all(acquire(gate(), seconds=0) for _ in range(1000))


def test_so_many_a_second_and_no_more(gate, clock):
    five, began, begun = gate(PER_SECOND=5), clock.monotonic(), []
    five._changed = clock.condition()
    for _ in range(11):
        assert acquire(five)
        begun.append(clock.monotonic() - began)
    assert begun == [0] * 5 + [1] * 5 + [2]  # a burst is not spread out


def test_turn_that_comes_too_late_is_not_waited_for(gate, clock):
    one = gate(PER_SECOND=1)
    one._changed = clock.condition()
    assert acquire(one)
    assert not acquire(one, seconds=0.75)
    assert acquire(one, seconds=0.25)


def test_so_many_at_once_and_no_more(gate):
    two = gate(AT_ONCE=2)
    assert acquire(two)
    assert acquire(two)
    assert not acquire(two, seconds=0)
    two.release()
    assert acquire(two)


def test_most_urgent_goes_first(gate):
    one, order = gate(AT_ONCE=1), []
    acquire(one)

    def wait(deadline):
        acquire(one, deadline=deadline)
        order.append(deadline)
        one.release()

    threads = [threading.Thread(target=wait, args=(deadline,)) for deadline in (3, 1, 4, 2)]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        wait_until(lambda number=number: len(one._waiting) == number)
    one.release()
    for thread in threads:
        thread.join()
    assert order == [1, 2, 3, 4]


def test_who_gives_up_waiting_holds_up_nobody(gate, clock):
    one = gate(AT_ONCE=1)
    acquire(one)
    hasty = threading.Thread(target=acquire, args=(one,), kwargs={"deadline": 1, "seconds": 0.1})
    hasty.start()
    wait_until(lambda: one._waiting)
    clock.move(1)
    hasty.join()
    one.release()
    assert acquire(one, deadline=2, seconds=0)
