"""A thread that runs a chore, whatever happens to either."""

import threading

import pytest

from otpmail.smtp import chore_thread
from otpmail.smtp.chore_thread import ChoreThread, run_together
from tests.mailings import eventually
from tests.waiting import wait_until


class PanicError(BaseException):
    """What an extension in Rust raises: no Exception."""


FOREIGN = [TypeError, OSError, PanicError, SystemExit, KeyboardInterrupt, GeneratorExit]


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_chore_that_raises_is_run_again_and_told_once(kind, monkeypatch, caplog):
    monkeypatch.setattr(chore_thread, "PAUSE", 0.001)
    caplog.set_level("INFO", "otpmail.smtp.chore_thread")
    runs: list[int] = []

    def chore() -> float | None:
        runs.append(1)
        if len(runs) < 5:
            raise kind("secret")
        return None

    kept = ChoreThread(chore, name="k")
    kept.wake(at_once=True)
    wait_until(lambda: len(runs) == 5 and not kept.is_alive)
    assert caplog.messages == [f"Email: k failed: {kind.__name__}", "Email: k works again"]


def test_a_chore_that_fails_and_wakes_itself_does_not_spin(monkeypatch):
    monkeypatch.setattr(chore_thread, "PAUSE", 3600.0)
    runs: list[int] = []
    again = threading.Event()

    def chore() -> float | None:
        runs.append(1)
        kept.wake(at_once=True)
        if len(runs) == 1:
            raise TypeError
        again.set()
        return None if len(runs) > 2 else 0.0

    kept = ChoreThread(chore, name="k")
    kept.wake(at_once=True)
    wait_until(lambda: len(runs) == 1)
    assert not again.wait(0.3)
    kept.wake(at_once=True)
    assert again.wait(15)


def test_a_log_that_fails_does_not_end_it(monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise PanicError

    monkeypatch.setattr(chore_thread, "PAUSE", 0.001)
    monkeypatch.setattr(chore_thread.logger, "error", fails)
    monkeypatch.setattr(chore_thread.logger, "info", fails)
    runs: list[int] = []

    def chore() -> float | None:
        runs.append(1)
        if len(runs) < 3:
            raise TypeError
        return 0.001 if len(runs) < 6 else None

    ChoreThread(chore, name="k").wake(at_once=True)
    wait_until(lambda: len(runs) == 6)


def test_a_keeper_that_had_no_thread_or_lost_it_gets_one_at_the_next_use(monkeypatch):
    runs: list[int] = []
    kept = ChoreThread(lambda: runs.append(1), name="k")
    with monkeypatch.context() as famine:
        famine.setattr(threading.Thread, "start", no_thread)
        kept.wake(at_once=True)
        assert not kept.is_alive
    kept.wake(at_once=False)
    wait_until(lambda: len(runs) == 1)
    kept._thread = threading.Thread()  # never ran: as one that ended before its time
    kept.wake(at_once=False)
    wait_until(lambda: len(runs) == 2)


def test_a_wake_while_the_chore_decides_to_end_is_not_lost():
    deciding, woken = threading.Event(), threading.Event()
    runs: list[int] = []

    def chore() -> float | None:
        runs.append(1)
        deciding.set()
        woken.wait(15)

    kept = ChoreThread(chore, name="k")
    kept.wake(at_once=False)
    assert deciding.wait(15)
    kept.wake(at_once=False)
    woken.set()
    assert eventually(lambda: len(runs) == 2)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tasks_run_at_the_same_time_one_of_them_here(count):
    together = threading.Barrier(count)
    ran: list[threading.Thread] = []

    def task() -> None:
        together.wait(15)
        ran.append(threading.current_thread())

    assert run_together(task, count, name="t") == 0
    assert threading.current_thread() in ran
    assert len(set(ran)) == count


@pytest.mark.parametrize(("count", "to_be_had"), [(1, 0), (5, 0), (5, 2), (5, 4)])
def test_tasks_without_a_thread_are_counted(count, to_be_had, monkeypatch):
    start, started, ran = threading.Thread.start, [], []

    def until_none_is_left(thread: threading.Thread) -> None:
        if len(started) == to_be_had:
            no_thread(thread)
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", until_none_is_left)
    assert run_together(lambda: ran.append(1), count, name="t") == count - 1 - to_be_had
    assert len(ran) == 1 + to_be_had
