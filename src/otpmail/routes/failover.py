"""One round: routes are tried in their order until one takes the mail.

1. The first route whose circuit gives a permit is tried.
2. A refusal that is not the mail's own sends it to the next at once: fail-over. One that is ends
   the round, as does a mail of unknown fate: it may have been taken, and the person be answered
   meanwhile.
3. A route that is silent for too long is hedged, if the mail does no harm twice: the next one is
   tried beside it. The first acceptance wins, the other is stopped if its envelope is not
   written yet. What becomes of it all the same is told to ``on_late_result``. Where hedges are used
   up, its silence is a fault all the same: later mails go round it.
4. Where no circuit gives a permit nothing is tried.

Several mails of the same routes go together, and each has its own end: what one route leaves over,
the next one carries on. Only a mail by itself probes.

In: mails and their routes. Out: a `SendResult` for each. Knows nothing of: rows, codes, threads.

All that is here happens in the caller's thread; ``attempt_runner`` says what runs beside it.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from django.core.mail import EmailMessage

from otpmail.conf import settings
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import hedging, transport
from otpmail.routes.attempt_runner import AttemptRunner, OnLateResult
from otpmail.routes.attempts import ActiveAttempt, RouteAttempt, RoutedMail
from otpmail.routes.call_queue import Call, CallQueue
from otpmail.routes.circuits import all_unavailable, circuits
from otpmail.routes.rate_limiter import rate_limiters

GRACE_SECONDS = 1.0
"""Left to a backend that keeps its time, to say itself that it is over."""

GLANCE_SECONDS = 0.05
"""Between two looks at the circuit of a route that is silent."""

SLOW = Outcome(kind=Kind.TRANSIENT, reply="silent for too long", blame=Blame.ROUTE)
LOST_HEDGE = Outcome(
    kind=Kind.TRANSIENT, reply="lost the hedge: the next route took the mail", blame=Blame.ROUTE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """The attempts, in the order of their ends. Without any, the mail waits, or is not valid."""

    route_attempts: tuple[RouteAttempt, ...] = ()
    still_valid: bool = True


type StillValid = Callable[[], Collection[int] | None]


def send(
    messages: Sequence[EmailMessage],
    *,
    routes: Sequence[str],
    seconds: float,
    still_valid: StillValid,
    may_double: bool,
    on_late_result: OnLateResult | None = None,
) -> list[SendResult]:
    """Send mails by the first of these routes that takes them. Never raises for a mail's fate.

    ``seconds`` is the life that they have left; ``may_double``: they do no harm twice.
    ``still_valid`` names the places of those that are; where it cannot tell (None), nothing more
    is written. ``on_late_result`` hears of a try that ends after the
    round, with the mail's place, in a thread of its own.
    """
    failover = _Failover(
        messages, routes, seconds, still_valid, on_late_result, may_double=may_double
    )
    failover.run()
    return [
        SendResult(route_attempts=tuple(mail.route_attempts), still_valid=mail.still_valid)
        for mail in failover.mails
    ]


class _Failover:
    """The state of one `send`. Events happen in the caller's thread."""

    def __init__(
        self,
        messages: Sequence[EmailMessage],
        routes: Sequence[str],
        seconds: float,
        still_valid: StillValid,
        on_late_result: OnLateResult | None,
        *,
        may_double: bool,
    ) -> None:
        self.mails = [RoutedMail(place, message) for place, message in enumerate(messages)]
        self._still_valid = still_valid
        self._may_double = may_double
        self._life_ends = time.monotonic() + seconds
        self._patience_ends = self._hedge_at = math.inf
        self._alone = all_unavailable(routes)
        self._has_other = len(routes) > 1
        self._left = deque(routes)
        self._active: list[ActiveAttempt] = []
        self._calls = CallQueue()
        self._runner = AttemptRunner(
            self._calls, look=self._look, on_end=self._ended, on_late_result=on_late_result
        )

    def run(self) -> None:
        """Start the first, then do what happens until nothing is under way."""
        try:
            self._next(self.mails)
            while self._active:
                self._next_call()()
        finally:
            self._calls.end()

    def _next(self, mails: Sequence[RoutedMail]) -> bool:
        """Send mails by the next route that gives a permit and a slot. Tells if one did."""
        while self._left and mails:
            route = self._left.popleft()
            permit = circuits[route].acquire(alone=self._alone, may_probe=len(mails) == 1)
            if permit is None:
                continue
            if rate_limiters[route].acquire(
                deadline=self._life_ends, until=self._slot_until(route)
            ):
                self._start(ActiveAttempt(route, permit, mails, has_other=self._has_other))
                return True
            permit.end(None)
        return False

    def _slot_until(self, route: str) -> float:
        now = time.monotonic()
        if self._active:  # theirs is the next word: this one goes now or not at all
            return now
        if self._left:  # what waits for its turn here is asked nowhere yet: no double can come
            return min(self._life_ends, now + hedging.after_seconds(route))
        return self._life_ends

    def _start(self, active: ActiveAttempt) -> None:
        may_hedge = self._left and self._may_double
        after_seconds = hedging.after_seconds(active.route) if may_hedge else math.inf
        seconds = min(self._life_ends - active.began, settings.LEASE_SECONDS / 2)
        hedging.token_buckets[active.route].earn(len(active.mails))
        self._hedge_at = active.began + after_seconds
        self._patience_ends = active.began + seconds + GRACE_SECONDS
        alone = not self._active and after_seconds == math.inf
        self._active.append(active)
        if alone and transport.keeps_time(active.route):
            self._runner.run(active, seconds)
        else:
            self._runner.run_apart(active, seconds)

    def _next_call(self) -> Call:
        while (now := time.monotonic()) < self._patience_ends:
            if now >= self._hedge_at or (self._hedge_at < math.inf and self._is_given_up()):
                return self._hedge
            until = min(self._hedge_at, self._patience_ends, now + GLANCE_SECONDS)
            if call := self._calls.get(seconds=until - now):
                return call
        return self._abandon

    def _is_given_up(self) -> bool:
        """Tell whether others found out meanwhile that the route is out of order."""
        silent = self._active[-1]
        # In this order: it may have found out itself, and then its end is about to be told.
        return circuits[silent.route].is_open and not silent.has_ended

    def _look(self) -> bool:
        """See which mails are still valid. Returns whether one is."""
        still_valid = self._still_valid()
        if still_valid is None:
            return False
        for mail in self.mails:
            mail.still_valid = mail.still_valid and mail.place in still_valid
        return any(mail.still_valid for mail in self.mails)

    def _ended(self, active: ActiveAttempt, ended: dict[RoutedMail, RouteAttempt]) -> None:
        for mail, route_attempt in ended.items():
            mail.end(route_attempt)
        if self._calls.over:
            return
        self._active.remove(active)
        if any(route_attempt.outcome.kind is Kind.ACCEPTED for route_attempt in ended.values()):
            self._record_lost_hedges(active)
        if all(mail.is_over for mail in self.mails):
            self._active.clear()
        else:
            self._next([mail for mail in ended if mail.may_go_on])

    def _record_lost_hedges(self, winner: ActiveAttempt) -> None:
        for slow in self._active:
            if slow.began < winner.began:
                slow.permit.record(LOST_HEDGE)

    def _hedge(self) -> None:
        self._hedge_at = math.inf
        silent = self._active[-1]
        if (
            silent.permit.is_probe
        ):  # probes are rate-limited: always hedged, or a slow route would close its circuit
            self._next(silent.mails)
            return
        bucket = hedging.token_buckets[silent.route]
        waiting = [mail for mail in silent.mails if mail.may_go_on]
        if not bucket.take(len(waiting)):
            silent.permit.record(SLOW)
        elif not self._next(waiting):
            bucket.give_back(len(waiting))

    def _abandon(self) -> None:
        """Leave attempts to themselves that did not end in their time: they hold no courier."""
        for active in self._active:
            silent = active.as_route_attempt(active.give_up())
            for mail in active.mails:
                if not mail.is_over:
                    mail.end(silent)
        self._active.clear()
