"""A step that a thread does again and again, whatever it raises.

1. The step says after how many seconds it is due again, or None when it is over for good.
2. A step that raises is done again, after a pause that doubles and has jitter. The first fault of
   a row is logged, and the end of the row.
3. A thread that ended before its time, or that could not be had, is started by the next `ensure`.

In: a step. Out: a thread. Knows nothing of: what the step does.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from otpmail.outcomes.describing import log_fault

LEAST_PAUSE_SECONDS = 0.1
MOST_PAUSE_SECONDS = 1.5

START_AGAIN_SECONDS = 1.0
"""Between two tries to have a thread, where the system gives none."""

log = logging.getLogger("otpmail.engine")


def pause_seconds(faults: int) -> float:
    """Give the pause after so many faults in a row (1 or more)."""
    doubled: float = LEAST_PAUSE_SECONDS * 2 ** min(faults, 10)
    return min(MOST_PAUSE_SECONDS, doubled) * random.uniform(0.5, 1)  # noqa: S311 - spreads load


class Loop:
    """One step and its thread. `ensure`, `wake` and `is_alive` may be called by any thread."""

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        last: Callable[[], object] = lambda: None,
    ) -> None:
        """Name the thread. ``last`` is called in it when the step is over for good."""
        self.name = name
        self._step = step
        self._last = last
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()
        self._is_over = False
        self._start_at = 0.0
        self._faults = 0

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def ensure(self) -> bool:
        """Start the thread if it does not run. Returns whether it runs, and never raises."""
        if self.is_alive or self._is_over:
            return self.is_alive
        with self._lock:
            if not self.is_alive and time.monotonic() >= self._start_at:
                self._start()
            return self.is_alive

    def wake(self) -> None:
        """Let the step be done now and not only when it is due."""
        self._woken.set()

    def _start(self) -> None:
        # A daemon: the interpreter joins all other threads before it calls atexit, for ever.
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError, OSError) as error:  # none is left, or all is ending
            if not self._start_at:
                log.warning("Email: %s has no thread yet: %s", self.name, error)
            self._start_at = time.monotonic() + START_AGAIN_SECONDS
        else:
            self._thread, self._start_at = thread, 0.0

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._do()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the loop goes on
                self._fail(error)
        try:
            self._last()
        except BaseException as error:  # noqa: BLE001 - nobody is left to hear of it
            log_fault(log, f"Email: the end of {self.name} failed", error)

    def _do(self) -> None:
        wait_seconds = self._step()
        if self._faults:
            log.info("Email: %s goes on after %d faults", self.name, self._faults)
            self._faults = 0
        if wait_seconds is None:
            self._is_over = True
        elif wait_seconds > 0:
            self._woken.wait(wait_seconds)
            self._woken.clear()

    def _fail(self, error: BaseException) -> None:
        self._faults += 1
        if self._faults == 1:
            log_fault(log, f"Email: {self.name} failed, and goes on", error)
        self._woken.wait(pause_seconds(self._faults))
        self._woken.clear()
