"""When a failed mail is tried again, or never.

In: how many attempts failed, the time, the deadline. Out: seconds to wait, or None.
Knows nothing of: rows, routes, settings.
"""

import random
from collections.abc import Sequence

SPREAD = 0.1
"""Each wait is within ten per cent of its rule, so that what failed together is not retried so."""


def wait_seconds(
    schedule: Sequence[float],
    *,
    failed: int,
    life_left: float,
    at_least: float = 0,
    chance: float | None = None,
) -> float | None:
    """Give the seconds until the next attempt; None if there is none before the deadline.

    ``failed`` counts the attempts so far (1 or more), ``life_left`` is in seconds, ``at_least`` is
    what the server asked for, ``chance`` is a number from 0 to 1 that places the wait within its
    spread (random if left out).
    """
    if failed > len(schedule):
        return None
    luck = random.random() if chance is None else chance  # noqa: S311 - spreads load, keeps no secret
    wait = max(
        schedule[failed - 1] * (1 - SPREAD + 2 * SPREAD * luck),
        at_least * (1 + 2 * SPREAD * luck),
    )
    return wait if wait < life_left else None
