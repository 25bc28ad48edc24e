"""A resolver that hangs holds nobody, and few threads."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from otpmail.smtp import resolving
from otpmail.smtp.deadlines import NEVER, Deadline
from otpmail.smtp.resolving import Resolver
from tests.waiting import wait_until


class Hanging:
    """A question that is answered once it is let go."""

    def __init__(self) -> None:
        self.asked: list[threading.Thread] = []
        self.let_go = threading.Event()

    def __call__(self) -> str:
        self.asked.append(threading.current_thread())
        self.let_go.wait(15)
        return "answer"


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    question = Hanging()
    yield question
    question.let_go.set()


def soon() -> Deadline:
    return Deadline.after(0.01)


def test_an_answer_is_given_and_an_error_raised():
    resolver = Resolver()
    assert resolver.resolve("a", lambda: "answer", NEVER) == "answer"
    for error in (OSError("no such host"), UnicodeError("x"), KeyboardInterrupt()):

        def fails(error=error) -> None:
            raise error

        with pytest.raises(type(error)):
            resolver.resolve("a", fails, NEVER)
    wait_until(lambda: resolver._threads == 0 and not resolver._asked)


def test_what_was_answered_is_asked_anew():
    resolver = Resolver()
    for number in range(100):
        assert resolver.resolve("a", lambda number=number: number, NEVER) == number


def test_nobody_waits_longer_than_the_deadline_and_all_for_one_thread(hanging):
    resolver = Resolver()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            resolver.resolve("a", hanging, soon())
    assert resolver._threads == 1
    assert resolver.resolve("b", lambda: "other", NEVER) == "other"
    hanging.let_go.set()
    assert resolver.resolve("a", hanging, NEVER) == "answer"
    wait_until(lambda: resolver._threads == 0 and not resolver._asked)


def test_a_question_that_hangs_too_long_is_asked_anew_up_to_the_most_threads(hanging, monkeypatch):
    monkeypatch.setattr(resolving, "STALE", 0.0)
    monkeypatch.setattr(resolving, "MAX_THREADS", 3)
    resolver = Resolver()
    for _ in range(10):
        with pytest.raises(TimeoutError):
            resolver.resolve("a", hanging, soon())
    assert resolver._threads == 3
    hanging.let_go.set()
    wait_until(lambda: resolver._threads == 0 and not resolver._asked)
    assert resolver.resolve("a", hanging, NEVER) == "answer"


def test_without_a_thread_the_asking_thread_asks(monkeypatch):
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = Resolver()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    asked = resolver.resolve("a", threading.current_thread, NEVER)
    assert asked is threading.current_thread()
    assert not resolver._asked


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads(hanging):
    resolver = resolving.resolver
    with pytest.raises(TimeoutError):
        resolver.resolve("a", hanging, soon())
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        answer = resolver.resolve("a", lambda: "own", NEVER)
        os._exit(0 if answer == "own" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
