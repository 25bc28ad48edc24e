"""What one courier thread does: wait for what is due, do a round with it, and again.

In: a schedule, a function that does a round. Out: what the round came to, given back to it.
Knows nothing of: rows, mails, threads.
"""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from django.db import connections

from otpmail import routes
from otpmail.conf import settings
from otpmail.engines.schedule import Schedule

REST_SECONDS = 50
"""A courier's connection to the database that rested longer is opened anew: what stands between
may have forgotten it."""


class CourierStep:
    """One courier's step."""

    def __init__(
        self, schedule: Schedule, do_round: Callable[[Sequence[UUID]], dict[UUID, float | None]]
    ) -> None:
        self._schedule = schedule
        self._round = do_round
        self._turn = schedule.turn()
        self._used_at = 0.0

    def __call__(self) -> float | None:
        """Take what is due, and do a round. Returns None when the schedule is closed."""
        most = routes.batch_size(settings.ROUTES)
        if (taken := self._schedule.take(self._turn, codes=most)) is None:
            return None
        delivery_ids, queue = taken
        waits: dict[UUID, float | None] = dict.fromkeys(delivery_ids, settings.SWEEP_SECONDS)
        try:
            if time.monotonic() - self._used_at > REST_SECONDS:
                connections.close_all()
            waits = self._round(delivery_ids)
        finally:
            self._schedule.give_back(waits, queue, self._turn)
            self._used_at = time.monotonic()
        return 0


def close_connections() -> None:
    """Close what a courier that ends holds open."""
    routes.close()
    connections.close_all()
