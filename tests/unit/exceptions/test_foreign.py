"""What may be told again, and which exceptions are let through."""

import threading

import pytest

from otpmail.exceptions import foreign
from otpmail.exceptions.foreign import OncePerMinute, ends_process


def test_thing_is_told_once_a_minute(clock):
    rarely = OncePerMinute()
    assert [rarely.may_log("a"), rarely.may_log("a"), rarely.may_log("b")] == [True, False, True]
    clock.move(61)
    assert rarely.may_log("a")


def test_what_is_remembered_is_bounded():
    rarely = OncePerMinute()
    for number in range(3 * OncePerMinute.MOST):
        assert rarely.may_log(str(number))
    assert len(rarely._told_at) == OncePerMinute.MOST


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_order_to_end_is_one_in_the_main_thread_alone(kind):
    said = []
    thread = threading.Thread(target=lambda: said.append(ends_process(kind())))
    thread.start()
    thread.join()
    assert (ends_process(kind()), said) == (True, [False])


def test_panic_ends_no_process():
    class Panic(BaseException):
        pass

    assert not foreign.ends_process(Panic())
