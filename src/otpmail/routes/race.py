"""One round: routes are tried in their order until one takes the mail.

1. The first route that gives leave is tried.
2. A refusal that is not the mail's own sends it to the next at once: fail-over. One that is ends
   the round, as does a mail of unknown fate: it may have been taken, and the person be answered
   meanwhile.
3. A route that is silent for too long gets company, if the mail does no harm twice: the next one
   is asked beside it. The first acceptance wins, the other is stopped if its envelope is not
   written yet. What becomes of it all the same is told to ``late``. Where hedges are used up, its
   silence is a fault all the same: later mails go round it.
4. Where no route gives leave nothing is tried, and the round says how long to wait.

In: a mail and its routes. Out: a `Round`. Knows nothing of: rows, codes.

A try that may be outrun, or whose backend does not keep its time, has a thread of its own, which
ends with it; any other runs in the caller's. Questions are answered in the caller's thread, so a
try needs no connection to the database.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from django.core.mail import EmailMessage
from django.db import connections

from otpmail.conf import settings
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import hedging, order, tries
from otpmail.routes.circuits import Leave, are_shut, circuits, wait_seconds
from otpmail.routes.events import Event, Events
from otpmail.routes.rates import gates

GRACE_SECONDS = 1.0
"""Left to a backend that keeps its time, to say itself that it is over."""

GLANCE_SECONDS = 0.05
"""Between two looks at the circuit of a route that is silent."""

FRESH_SECONDS = 1.0
"""How long it holds that a mail is wanted, for one try."""

SLOW = Outcome(kind=Kind.TRANSIENT, reply="silent for too long", blame=Blame.ROUTE)
OUTRUN = Outcome(kind=Kind.TRANSIENT, reply="outrun by the next route", blame=Blame.ROUTE)
SILENT = Outcome(kind=Kind.UNKNOWN, reply="no answer in the time it had", blame=Blame.ROUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What one route did with the mail, and when (monotonic seconds)."""

    route: str
    began: float
    took_seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The tries, in the order of their ends. Without any, the mail waits, or is not wanted."""

    tries: tuple[Try, ...] = ()
    wanted: bool = True
    wait_seconds: float = 0.0
    """How long until a route may be open, if none was."""


type Late = Callable[[Try], None]


def send(
    mail: EmailMessage,
    *,
    routes: Sequence[str],
    seconds: float,
    still_wanted: Callable[[], bool],
    may_double: bool,
    avoid: Sequence[str] = (),
    late: Late | None = None,
) -> Round:
    """Hand a mail to the first of these routes that takes it. Never raises for the mail's fate.

    ``seconds`` is the life that it has left; ``may_double``: it does no harm twice; what ``avoid``
    names is tried last, in its order. ``late`` hears of a try that ends after the round, in a
    thread of its own.
    """
    ordered = order.of(routes, mail, avoid=avoid)
    return _Race(mail, ordered, seconds, still_wanted, late, may_double=may_double).run()


class _Running:
    """A try that is under way."""

    def __init__(self, route: str, leave: Leave) -> None:
        self.route = route
        self.leave = leave
        self.began = time.monotonic()
        self.asked_at = -math.inf

    def end(self, outcome: Outcome | None) -> None:
        """Tell what the process knows of its routes."""
        if outcome is not None and outcome.kind is Kind.ACCEPTED:
            hedging.took(self.route, time.monotonic() - self.began)
        self.leave.end(outcome)
        gates[self.route].leave()

    def as_try(self, outcome: Outcome) -> Try:
        took_seconds = time.monotonic() - self.began
        return Try(route=self.route, began=self.began, took_seconds=took_seconds, outcome=outcome)


class _Race:
    """The state of one `send`. Events happen in the caller's thread."""

    def __init__(
        self,
        mail: EmailMessage,
        routes: Sequence[str],
        seconds: float,
        still_wanted: Callable[[], bool],
        late: Late | None,
        *,
        may_double: bool,
    ) -> None:
        self._mail = mail
        self._routes = routes
        self._still_wanted = still_wanted
        self._late = late
        self._may_double = may_double
        self._life_ends = time.monotonic() + seconds
        self._patience_ends = self._hedge_at = math.inf
        self._alone = are_shut(routes)
        self._left = deque(routes)
        self._running: list[_Running] = []
        self._tries: list[Try] = []
        self._wanted = True
        self._events = Events()

    def run(self) -> Round:
        """Start the first, then do what happens until nothing is under way."""
        try:
            self._next()
            while self._running:
                self._event()()
        finally:
            self._events.end()
        waits = self._wanted and not self._tries
        return Round(
            tries=tuple(self._tries),
            wanted=self._wanted,
            wait_seconds=wait_seconds(self._routes) if waits else 0.0,
        )

    def _next(self) -> bool:
        """Start the next route that gives leave and has a turn. Returns whether there was one."""
        while self._left:
            route = self._left.popleft()
            leave = circuits[route].enter(alone=self._alone)
            if leave is None:
                continue
            if gates[route].enter(deadline=self._life_ends, until=self._turn_until(route)):
                self._start(_Running(route, leave))
                return True
            leave.end(None)
        return False

    def _turn_until(self, route: str) -> float:
        now = time.monotonic()
        if self._running:  # theirs is the next word: this one goes now or not at all
            return now
        if self._left:  # what waits for its turn here is asked nowhere yet: no double can come
            return min(self._life_ends, now + hedging.after_seconds(route))
        return self._life_ends

    def _start(self, running: _Running) -> None:
        may_hedge = self._left and self._may_double
        after_seconds = hedging.after_seconds(running.route) if may_hedge else math.inf
        seconds = min(self._life_ends - running.began, settings.LEASE_SECONDS / 2)
        hedging.buckets[running.route].earn()
        self._hedge_at = running.began + after_seconds
        self._patience_ends = running.began + seconds + GRACE_SECONDS
        alone = not self._running and after_seconds == math.inf
        self._running.append(running)
        if alone and tries.keeps_time(running.route):
            self._carry(running, seconds)
        else:
            self._carry_apart(running, seconds)

    def _carry_apart(self, running: _Running, seconds: float) -> None:
        def carry() -> None:
            try:
                self._carry(running, seconds)
            except Exception as fault:
                if not self._events.put(partial(self._fail, fault)):
                    raise
            finally:
                connections.close_all()

        thread = threading.Thread(target=carry, name=f"otpmail-try-{running.route}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process is ending, and none can be started any more
            self._carry(running, seconds)

    def _carry(self, running: _Running, seconds: float) -> None:
        outcome = None
        try:
            outcome = tries.hand_over(
                running.route, self._mail, seconds=seconds, still_wanted=partial(self._ask, running)
            )
        finally:
            running.end(outcome)
        ended = None if outcome is None else running.as_try(outcome)
        heard = self._events.put(partial(self._ended, running, ended))
        if not heard and ended is not None and self._late is not None:
            self._late(ended)

    def _ask(self, running: _Running) -> bool:
        """Ask whether the mail is wanted, for one try: before its envelope, and before its body.

        If that is soon after, only whether the round is over.
        """
        now = time.monotonic()
        if now - running.asked_at < FRESH_SECONDS:
            return not self._events.over
        running.asked_at = now
        return self._events.ask(self._look)

    # What happens.

    def _event(self) -> Event:
        while (now := time.monotonic()) < self._patience_ends:
            if now >= self._hedge_at or (self._hedge_at < math.inf and self._is_given_up()):
                return self._hedge
            until = min(self._hedge_at, self._patience_ends, now + GLANCE_SECONDS)
            if event := self._events.get(seconds=until - now):
                return event
        return self._abandon

    def _is_given_up(self) -> bool:
        """Tell whether others found out meanwhile that the route is out of order."""
        return circuits[self._running[-1].route].is_open

    def _look(self) -> bool:
        self._wanted = self._wanted and self._still_wanted()
        return self._wanted

    def _ended(self, running: _Running, ended: Try | None) -> None:
        if ended is not None:
            self._tries.append(ended)
        if self._events.over:
            return
        self._running.remove(running)
        if ended is None:
            self._running.clear()
        elif ended.outcome.kind is Kind.ACCEPTED:
            self._win(running)
        elif _is_final(ended.outcome):
            self._left.clear()
        else:
            self._next()

    def _win(self, winner: _Running) -> None:
        for slow in self._running:
            if slow.began < winner.began:
                slow.leave.judge(OUTRUN)
        self._running.clear()

    def _hedge(self) -> None:
        self._hedge_at = math.inf
        silent = self._running[-1]
        if silent.leave.is_probe:  # its pauses bound it, and a slow route must not pass for sound
            self._next()
            return
        bucket = hedging.buckets[silent.route]
        if not bucket.take():
            silent.leave.judge(SLOW)
        elif not self._next():
            bucket.give_back()

    def _abandon(self) -> None:
        """Leave tries to themselves that did not end in their time: no courier is held by them."""
        for running in self._running:
            running.leave.judge(SILENT)
            self._tries.append(running.as_try(SILENT))
        self._running.clear()

    def _fail(self, fault: Exception) -> None:
        if not self._events.over:
            raise fault


def _is_final(outcome: Outcome) -> bool:
    if outcome.kind is Kind.PERMANENT:
        return outcome.blame is Blame.MAIL
    return outcome.kind is Kind.UNKNOWN
