"""A clock that a test turns by hand: no machine is too slow for it, and no test waits."""

import sys
import threading
import time
from typing import Any


class Clock:
    """Stands where otpmail's modules have ``time``: its moments pass only when a test says so."""

    def __init__(self) -> None:
        # What still waits for such a moment when the test is over has it behind itself by the
        # machine's clock, which counts from its start. Quarters and halves are exact.
        self._now = 16.0

    def monotonic(self) -> float:
        """Tell the moment in seconds."""
        return self._now

    def time(self) -> float:
        """Tell the moment by the clock on the wall."""
        return 1_000_000_000 + self._now

    def move(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += seconds

    sleep = move

    def condition(self) -> threading.Condition:
        """Make a condition whose waiting moves this clock, for a test that has but one thread."""
        return _Waiting(self)

    def __getattr__(self, name: str) -> Any:
        """Leave the rest of ``time`` as it is."""
        return getattr(time, name)


class _Waiting(threading.Condition):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "nobody else is there to wake it"
        self._clock.move(timeout)
        return False


def modules_that_read_it() -> list[Any]:
    """Give otpmail's modules that have ``time`` for the time."""
    ours = [module for name, module in sys.modules.items() if name.startswith("otpmail.")]
    return [module for module in ours if vars(module).get("time") is time]
