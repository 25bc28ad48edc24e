"""A chore is run in a thread of its own, again and again, whatever it raises.

In: a chore that returns the seconds to its next run, or ``None`` while there is nothing to do.
Out: nothing; a line in the log when the chore begins to fail, and one when it works again.
Knows nothing of: what the chore is. No thread to be had is no error: the next use asks again.
"""

import contextlib
import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds to the next run after one that failed; doubled each time."""

MOST_PAUSE = 30.0


class ChoreThread:
    """Runs a chore from its first `wake` on, until the chore has nothing to do."""

    def __init__(self, chore: Callable[[], float | None], *, name: str) -> None:
        self._chore = chore
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._kick = threading.Event()
        self._was_woken = False
        self._failures = 0  # in a row

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def wake(self, *, at_once: bool) -> None:
        """See to it that the chore will be run: ``at_once``, or whenever it is due."""
        with self._lock:
            self._was_woken = True
            if not self.is_alive:
                self._thread = start_thread(self._keep, self._name)
        if at_once:
            self._kick.set()

    def _keep(self) -> None:
        me = threading.current_thread()
        while self._goes_on(me):
            delay = self._run()
            if delay is not None:
                self._was_woken = True  # it has more to do
                self._kick.wait(delay)
                self._kick.clear()

    def _goes_on(self, me: threading.Thread) -> bool:
        """Tell whether to run the chore; if not, the next `wake` starts a new thread."""
        with self._lock:
            if self._thread is not me:
                return False
            if not self._was_woken:
                self._thread = None
            goes_on, self._was_woken = self._was_woken, False
            return goes_on

    def _run(self) -> float | None:
        try:
            delay = self._chore()
        except BaseException as error:  # noqa: BLE001 - without a keeper nothing is ever closed
            self._kick.clear()  # what it did itself must not make it spin
            self._failures += 1
            with contextlib.suppress(BaseException):  # a log handler is foreign too
                self._tell_failure(error)
            return min(PAUSE * 2.0 ** min(self._failures - 1, 16), MOST_PAUSE)
        self._tell_success()
        return delay

    def _tell_failure(self, error: BaseException) -> None:
        if self._failures == 1:
            logger.error("Email: %s failed: %s", self._name, type(error).__name__)

    def _tell_success(self) -> None:
        was_failing, self._failures = self._failures > 0, 0
        if was_failing:
            with contextlib.suppress(BaseException):
                logger.info("Email: %s works again", self._name)


def run_together(task: Callable[[], None], count: int, *, name: str) -> int:
    """Run a task so many times at the same time, and wait; it must not raise.

    One runs in this thread. Returns how many were not run, as no thread was to be had for them.
    """
    threads: list[threading.Thread] = []
    while len(threads) < count - 1 and (thread := start_thread(task, name)) is not None:
        threads.append(thread)
    task()
    for thread in threads:
        thread.join()
    return count - 1 - len(threads)


def start_thread(task: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread; ``None`` if there is none to be had, now or as the process ends."""
    thread = threading.Thread(target=task, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError, OSError):
        return None
    return thread
