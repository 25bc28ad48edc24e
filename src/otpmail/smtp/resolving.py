"""A question to the system's resolver, which knows no deadline, is waited for until ours.

In: a blocking question and a deadline. Out: its answer, or what it raised, or ``TimeoutError``.
Knows nothing of: what is asked.

A question is asked in a thread of its own, and who asks the same meanwhile waits for the same
answer, unless that has been silent for `STALE` seconds. So a resolver that hangs holds a few
threads a question, `MAX_THREADS` in all, and nobody beyond a deadline. Where no thread can be had,
the asking thread asks itself.
"""

import functools
import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from otpmail.smtp.chore_thread import start_thread
from otpmail.smtp.deadlines import Deadline

MAX_THREADS = 32
"""Questions under way at one time, a process; a route has one, and this host's name is another."""

STALE = 30.0
"""Seconds after which a question is asked anew; the thread that still asks is left to itself."""


class _Question:
    """One question under way."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self.began = time.monotonic()
        self.answered = threading.Event()
        self._answer: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._answer = self._ask()
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked
            self._error = error

    def answer(self, deadline: Deadline) -> Any:
        if not self.answered.wait(deadline.left()):
            raise TimeoutError("the resolver does not answer")
        if self._error is not None:
            raise self._error
        return self._answer


class Resolver:
    """The questions that are under way in this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: a forked child has none of its parent's threads."""
        self._lock = threading.Lock()
        self._asked: dict[Hashable, _Question] = {}
        self._threads = 0

    def resolve[T](self, key: Hashable, ask: Callable[[], T], deadline: Deadline) -> T:
        """Ask, or wait for who asks the same; returns the answer or raises what ``ask`` raised.

        Raises ``TimeoutError`` at the deadline, and at once where too many questions hang.
        """
        with self._lock:
            question = self._fresh(key) or self._begin(key, ask)
        if question is None:
            return ask()
        answer: T = question.answer(deadline)
        return answer

    def _fresh(self, key: Hashable) -> _Question | None:
        question = self._asked.get(key)
        is_fresh = question is not None and time.monotonic() - question.began < STALE
        return question if is_fresh else None

    def _begin(self, key: Hashable, ask: Callable[[], Any]) -> _Question | None:
        """Start a question's thread; ``None`` if there is none to be had."""
        if self._threads >= MAX_THREADS:
            raise TimeoutError("too many questions to the resolver are unanswered")
        question = _Question(ask)
        if start_thread(functools.partial(self._run, key, question), "otpmail resolver") is None:
            return None
        self._asked[key] = question
        self._threads += 1
        return question

    def _run(self, key: Hashable, question: _Question) -> None:
        question.run()
        with self._lock:  # which `_begin` holds until all is written down
            self._threads -= 1
            if self._asked.get(key) is question:
                del self._asked[key]
        question.answered.set()  # last: whoever is answered may ask anew


resolver = Resolver()
"""This process's questions."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=resolver.forget)
