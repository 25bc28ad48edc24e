"""A delivery for which no route is open waits without being read again and again.

In: a delivery's id, its routes, how long it may be left alone. Out: seconds until the next look.
Knows nothing of: rows, mails.

With every route down a process may hold a thousand mails, and each looks for a way out twice a
second: that costs microseconds here, and would cost a query and a rendering each in a round.
"""

import random
import time
from collections.abc import Sequence
from uuid import UUID

from otpmail import routes

SPREAD_SECONDS = 0.25
"""Until the last of those that wait looks: when a route is back, they come one after the other."""

_parked: dict[UUID, tuple[Sequence[str], float]] = {}


def park(delivery_id: UUID, names: Sequence[str], *, seconds: float) -> float:
    """Leave a delivery alone until a route opens, for so many seconds at most."""
    _parked[delivery_id] = (names, time.monotonic() + seconds)
    return wait_seconds(delivery_id) or 0.0


def wait_seconds(delivery_id: UUID) -> float | None:
    """Tell how long it still waits; None if it has to be looked at."""
    parked = _parked.pop(delivery_id, None)
    if parked is None:
        return None
    names, until = parked
    wait = min(routes.wait_seconds(names), until - time.monotonic())
    if wait <= 0:
        return None
    _parked[delivery_id] = parked
    return wait + SPREAD_SECONDS * random.random()  # noqa: S311 - keeps no secret
