"""How many couriers mail to one recipient's domain may hold at once.

A relay may wait for the recipient's own server before it answers, and holds a courier and a session
meanwhile. So a domain has half of the couriers; all of them while its mails are answered quickly.
Of what a domain has, mail that is no code holds half at most: a code does not wait behind it.

In: domains, when mail to one leaves and when it was over. Out: whether more may leave.
Knows nothing of: mails, routes, who waits.
"""

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass

from otpmail.conf import settings
from otpmail.routes import hedging
from otpmail.routes.order import known

FEWEST = 4
"""Couriers; of fewer none are kept for others."""

SLOW_SECONDS = 1.0
TIMES_USUAL = 3
"""A mail that takes longer than both is slow: where all of a route's take long, none stands out."""

QUICK_FOR_SECONDS = 60
"""How long a domain counts as quick after a mail that was."""

REMEMBERED = 1000
"""Domains; the one that is quick for longest is forgotten first."""

LEAST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.1, 5.0


@dataclass(slots=True)
class HeldCourier:
    """A courier that a domain holds. ``is_quick``: its mail was answered, and soon."""

    domain: str
    is_code: bool
    is_quick: bool = False


class DomainShares:
    """One process's couriers, as domains hold them."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._held_by_others: Counter[str] = Counter()  # of these, by mail that is no code
        self._oldest: dict[str, float] = {}  # when those that a domain holds began to be held
        self._quick_until: dict[str, float] = {}
        self._turned_away: Counter[str] = Counter()  # in a row, of domains that hold couriers

    def take(self, domain: str, *, is_code: bool) -> HeldCourier | None:
        """Take one courier for a domain, unless it holds its share."""
        with self._lock:
            most = settings.COURIERS
            if most >= FEWEST and not self._is_quick(domain):
                most //= 2
            is_full = self._held[domain] >= most
            if is_full or (not is_code and self._held_by_others[domain] >= max(1, most // 2)):
                self._turned_away[domain] += 1
                return None
            self._turned_away.pop(domain, None)
            self._count(domain, 1, is_code=is_code)
            self._oldest.setdefault(domain, time.monotonic())
            return HeldCourier(domain, is_code)

    def give_back(self, held: HeldCourier) -> None:
        """End that."""
        with self._lock:
            domain = held.domain
            self._count(domain, -1, is_code=held.is_code)
            self._quick_until.pop(domain, None)
            if held.is_quick:
                self._quick_until[domain] = time.monotonic() + QUICK_FOR_SECONDS
                self._oldest[domain] = time.monotonic()
            if domain not in self._held:
                self._oldest.pop(domain, None)
                self._turned_away.pop(domain, None)
            while len(self._quick_until) > REMEMBERED:
                del self._quick_until[next(iter(self._quick_until))]

    def _count(self, domain: str, change: int, *, is_code: bool) -> None:
        for counts in [self._held] if is_code else [self._held, self._held_by_others]:
            counts[domain] += change
            if counts[domain] <= 0:
                del counts[domain]

    def wait_seconds(self, domain: str) -> float:
        """Tell how long a mail that was turned away waits: each longer than the one before it.

        So one is always due soon when a courier is free, and few ask at once of a slow domain.
        """
        with self._lock:
            return min(MOST_WAIT_SECONDS, LEAST_WAIT_SECONDS * max(1, self._turned_away[domain]))

    def is_slow(self, domain: str) -> bool:
        """Tell whether mail to it has been under way for long, and none was answered meanwhile.

        Such mail goes by itself: others would wait with it.
        """
        with self._lock:
            return self._is_slow(domain)

    def _is_slow(self, domain: str) -> bool:
        now = time.monotonic()
        return not is_quick(now - self._oldest.get(domain, now))

    def _is_quick(self, domain: str) -> bool:
        is_known = time.monotonic() < self._quick_until.get(domain, 0.0)
        return is_known and not self._is_slow(domain)


def is_quick(seconds: float) -> bool:
    """Tell whether a mail that takes so long is not slow."""
    if seconds <= SLOW_SECONDS:
        return True
    return seconds <= TIMES_USUAL * max(map(hedging.usual_seconds, known()), default=0.0)


domain_shares = DomainShares()


os.register_at_fork(after_in_child=domain_shares.forget)  # the parent's couriers did not come along
