"""A route bears so many mails a second and so many at once; the rest wait, the most urgent first.

In: ``OTPMAIL_ROUTE_RATES``, mails with their deadlines. Out: a slot, or none in time.
Knows nothing of: what a mail does with its slot.
"""

import heapq
import itertools
import math
import threading
import time
from collections import deque

from otpmail.conf import settings
from otpmail.routes.per_route import PerRoute

PER_SECOND, AT_ONCE = "PER_SECOND", "AT_ONCE"
RULES = frozenset({PER_SECOND, AT_ONCE})


class RateLimiter:
    """One route's slots in one process."""

    def __init__(self, route: str) -> None:
        rules = settings.ROUTE_RATES.get(route, {})
        self._at_once = rules.get(AT_ONCE, math.inf)
        self._begun: deque[float] | None = None  # when each of the last mails began
        if PER_SECOND in rules:
            self._begun = deque(maxlen=rules[PER_SECOND])
        self._inside = 0
        self._waiting: list[tuple[float, int]] = []  # heap: deadline, tie-break
        self._order = itertools.count()
        self._changed = threading.Condition()

    def acquire(self, *, deadline: float, until: float) -> bool:
        """Wait for a slot, in order of deadline, at most until then (monotonic seconds)."""
        with self._changed:
            ticket = (deadline, next(self._order))
            heapq.heappush(self._waiting, ticket)
            try:
                while (wait := self._wait_seconds(ticket)) > 0:
                    left = until - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(min(wait, left, threading.TIMEOUT_MAX))
                self._count()
                return True
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()

    def release(self) -> None:
        """Free the slot."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def _wait_seconds(self, ticket: tuple[float, int]) -> float:
        if self._waiting[0] != ticket or self._inside >= self._at_once:
            return math.inf  # until it is told
        if self._begun is None or len(self._begun) < (self._begun.maxlen or 0):
            return 0.0
        return self._begun[0] + 1 - time.monotonic()

    def _count(self) -> None:
        self._inside += 1
        if self._begun is not None:
            self._begun.append(time.monotonic())


rate_limiters = PerRoute(RateLimiter)
