"""What this process gave back because it cannot do it now: it leaves it to others for a while.

In: ids that a round declined. Out: the ids that are not to be claimed here yet.
Knows nothing of: rows, why.

The while doubles each time, so that two processes that both lack a key do not pass a mail to and
fro, and one that has it finds the mail free.
"""

import threading
import time
from collections.abc import Iterable
from uuid import UUID

LEAST_SECONDS = 1.0
MOST_SECONDS = 10.0

REMEMBERED = 1000
"""Ids; the oldest is forgotten first, and may then be claimed at once."""


class ClaimBackoff:
    """Shared by the threads of one engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[UUID, tuple[float, float]] = {}  # monotonic seconds, and the next while

    def add(self, delivery_ids: Iterable[UUID]) -> None:
        """Leave these alone for a while, for longer than the last time."""
        now = time.monotonic()
        with self._lock:
            for delivery_id in delivery_ids:
                _, seconds = self._until.pop(delivery_id, (0.0, LEAST_SECONDS))
                self._until[delivery_id] = (now + seconds, min(2 * seconds, MOST_SECONDS))
            while len(self._until) > REMEMBERED:
                del self._until[next(iter(self._until))]

    def now(self) -> set[UUID]:
        """Name those whose while is not over. Forgets what has not been seen for long."""
        now = time.monotonic()
        with self._lock:
            for delivery_id, (until, _) in list(self._until.items()):
                if now - until > MOST_SECONDS:
                    del self._until[delivery_id]
            return {one for one, (until, _) in self._until.items() if until > now}

    def clear(self) -> None:
        """Forget all: what kept this process from them may be over."""
        with self._lock:
            self._until.clear()
