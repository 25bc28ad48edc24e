"""When a route has been silent for too long, and whether the next may be asked beside it.

In: how long each accepted mail took. Out: seconds, tokens.
Knows nothing of: mails, circuits.

A token bucket bounds what hedging can double: a burst, and then a share of the route's mails.
"""

import math
import threading
from collections import deque

from otpmail.conf import settings
from otpmail.routes.per_route import PerRoute

LEAST_SECONDS = 1.0
MOST_SECONDS = 5.0
"""However slow a route usually is, a person waits."""

TIMES_USUAL = 3
REMEMBERED = 100
BURST = 20
SHARE = 0.05


class TokenBucket:
    """Tokens for hedges of one route."""

    def __init__(self, _: str) -> None:
        self._lock = threading.Lock()
        self._tokens = float(BURST)

    def earn(self, mails: int = 1) -> None:
        """Count mails."""
        with self._lock:
            self._tokens = min(BURST, self._tokens + SHARE * mails)

    def take(self, tokens: int = 1) -> bool:
        """Take so many tokens, if they are there."""
        with self._lock:
            are_there = self._tokens >= tokens
            self._tokens -= tokens * are_there
            return are_there

    def give_back(self, tokens: int) -> None:
        """Return tokens that were not needed."""
        with self._lock:
            self._tokens += tokens


def after_seconds(route: str) -> float:
    """Tell how long a route may be silent before the next is asked; infinite: it is never."""
    rule = settings.HEDGE_AFTER
    if rule == "auto":
        return min(MOST_SECONDS, max(LEAST_SECONDS, TIMES_USUAL * usual_seconds(route)))
    return math.inf if rule is None else rule


def usual_seconds(route: str) -> float:
    """Give the 95th percentile of what its last accepted mails took; 0 if there were none."""
    times = sorted(_times[route])
    return times[len(times) * 95 // 100] if times else 0.0


def took(route: str, seconds: float) -> None:
    """Remember how long an accepted mail took, in a lost hedge too; of a batch, its part."""
    _times[route].append(seconds)


def _new_times(_: str) -> deque[float]:
    return deque(maxlen=REMEMBERED)


_times = PerRoute(_new_times)
token_buckets = PerRoute(TokenBucket)
