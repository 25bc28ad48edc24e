"""Waiting for what another thread or process does: the bounds are for what never comes."""

import time
from collections.abc import Callable


def wait_until(
    holds: Callable[[], object],
    seconds: float = 60,
    every: float = 0.01,
    told: Callable[[], str] = str,
) -> None:
    """Wait until something holds, and fail if it does not in time, with what is ``told`` then."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"still not after {seconds} s\n{told()}"
        time.sleep(every)
