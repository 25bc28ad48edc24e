"""When a pool's thread tries again after a failure, and when it says so.

In: failures and successes, each with its moment on the monotonic clock. Out: whether to try now,
and whether there is something new to log. Knows nothing of: sessions, threads, clocks.
"""

import random

from otpmail.smtp.errors import is_lasting

PASSING = (1.0, 30.0)
"""Seconds to the second try, doubled each time, and the most: a server that is away comes back."""

LASTING = (120.0, 900.0)
"""The same for what no waiting mends: a wrong password tried each second gets an account locked."""

JITTER = 0.25
"""Each pause is longer or shorter by up to this part: processes must not come back together."""


class Backoff:
    """The pauses between failures in a row. ``failing`` from the first of them to a success."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.failing = False
        self.retry_at = 0.0
        self._failures = 0
        self._was_lasting = False
        self._has_lasted = False

    def is_due(self, now: float) -> bool:
        """Tell whether the pause is over."""
        return now >= self.retry_at

    def failed(self, error: BaseException, now: float) -> bool:
        """Begin the next pause. Returns whether it is news: the first, or the first that lasts."""
        lasting = is_lasting(error)
        is_news = not self.failing or (lasting and not self._has_lasted)
        self.failing = True
        self._has_lasted |= lasting
        self._failures = self._failures + 1 if lasting == self._was_lasting else 1
        self._was_lasting = lasting
        first, most = LASTING if lasting else PASSING
        pause = min(first * 2.0 ** min(self._failures - 1, 16), most)
        self.retry_at = now + pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        return is_news

    def worked(self) -> bool:
        """End the pauses. Returns whether this ends a row of failures."""
        was_failing = self.failing
        self._begin()
        return was_failing

    def hurry(self) -> None:
        """End this pause: somebody else had luck."""
        self.retry_at = 0.0
