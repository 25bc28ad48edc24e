"""One round: routes are tried in their order until one takes the mail.

1. The first route that gives leave is tried.
2. A refusal that is not the mail's own sends it to the next at once: fail-over. One that is ends
   the round, as does a mail of unknown fate: it may have been taken, and the person be answered
   meanwhile.
3. A route that is silent for too long gets company, if the mail does no harm twice: the next one
   is asked beside it. The first acceptance wins, the other is stopped if its envelope is not
   written yet. What becomes of it all the same is told to ``late``. Where hedges are used up, its
   silence is a fault all the same: later mails go round it.
4. Where no route gives leave nothing is tried.

Several mails of the same routes go together, and each has its own end: what one route leaves over,
the next one carries on. Only a mail by itself probes.

In: mails and their routes. Out: a `Round` for each. Knows nothing of: rows, codes.

A try that may be outrun, or whose backend does not keep its time, has a thread of its own, which
ends with it; any other runs in the caller's. Questions are answered in the caller's thread, so a
try needs no connection to the database.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

from django.core.mail import EmailMessage
from django.db import connections

from otpmail.conf import settings
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import hedging, tries
from otpmail.routes.circuits import are_shut, circuits
from otpmail.routes.events import Event, Events
from otpmail.routes.rates import gates
from otpmail.routes.running import Mail, Running, Try

GRACE_SECONDS = 1.0
"""Left to a backend that keeps its time, to say itself that it is over."""

GLANCE_SECONDS = 0.05
"""Between two looks at the circuit of a route that is silent."""

TOGETHER_SECONDS = 0.05
"""How long it holds for the envelopes of mails that go together, one right after the other."""

SLOW = Outcome(kind=Kind.TRANSIENT, reply="silent for too long", blame=Blame.ROUTE)
OUTRUN = Outcome(kind=Kind.TRANSIENT, reply="outrun by the next route", blame=Blame.ROUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The tries, in the order of their ends. Without any, the mail waits, or is not wanted."""

    tries: tuple[Try, ...] = ()
    wanted: bool = True


type Question = Callable[[], Collection[int] | None]
type Late = Callable[[int, Try], None]


def send(
    messages: Sequence[EmailMessage],
    *,
    routes: Sequence[str],
    seconds: float,
    still_wanted: Question,
    may_double: bool,
    late: Late | None = None,
) -> list[Round]:
    """Hand mails to the first of these routes that takes them. Never raises for a mail's fate.

    ``seconds`` is the life that they have left; ``may_double``: they do no harm twice.
    ``still_wanted`` names the places of those that are; where it cannot tell (None), nothing more
    is written. ``late`` hears of a try that ends after the
    round, with the mail's place, in a thread of its own.
    """
    race = _Race(messages, routes, seconds, still_wanted, late, may_double=may_double)
    race.run()
    return [Round(tries=tuple(mail.tries), wanted=mail.wanted) for mail in race.mails]


class _Race:
    """The state of one `send`. Events happen in the caller's thread."""

    def __init__(
        self,
        messages: Sequence[EmailMessage],
        routes: Sequence[str],
        seconds: float,
        still_wanted: Question,
        late: Late | None,
        *,
        may_double: bool,
    ) -> None:
        self.mails = [Mail(place, message) for place, message in enumerate(messages)]
        self._still_wanted = still_wanted
        self._late = late
        self._may_double = may_double
        self._life_ends = time.monotonic() + seconds
        self._patience_ends = self._hedge_at = math.inf
        self._alone = are_shut(routes)
        self._has_other = len(routes) > 1
        self._left = deque(routes)
        self._running: list[Running] = []
        self._events = Events()

    def run(self) -> None:
        """Start the first, then do what happens until nothing is under way."""
        try:
            self._next(self.mails)
            while self._running:
                self._event()()
        finally:
            self._events.end()

    def _next(self, mails: Sequence[Mail]) -> bool:
        """Carry mails by the next route that gives leave and has a turn. Tells if one did."""
        while self._left and mails:
            route = self._left.popleft()
            leave = circuits[route].enter(alone=self._alone, may_probe=len(mails) == 1)
            if leave is None:
                continue
            if gates[route].enter(deadline=self._life_ends, until=self._turn_until(route)):
                self._start(Running(route, leave, mails, has_other=self._has_other))
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

    def _start(self, running: Running) -> None:
        may_hedge = self._left and self._may_double
        after_seconds = hedging.after_seconds(running.route) if may_hedge else math.inf
        seconds = min(self._life_ends - running.began, settings.LEASE_SECONDS / 2)
        hedging.buckets[running.route].earn(len(running.mails))
        self._hedge_at = running.began + after_seconds
        self._patience_ends = running.began + seconds + GRACE_SECONDS
        alone = not self._running and after_seconds == math.inf
        self._running.append(running)
        if alone and tries.keeps_time(running.route):
            self._carry(running, seconds)
        else:
            self._carry_apart(running, seconds)

    def _carry_apart(self, running: Running, seconds: float) -> None:
        def carry() -> None:
            try:
                self._carry(running, seconds)
            except BaseException as fault:
                if not self._events.put(partial(self._fail, fault)):
                    raise
            finally:
                connections.close_all()

        run = partial(copy_context().run, carry)  # what is told there is about the same mails
        thread = threading.Thread(target=run, name=f"otpmail-try-{running.route}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process is ending, and none can be started any more
            self._carry(running, seconds)

    def _carry(self, running: Running, seconds: float) -> None:
        ended: dict[Mail, Outcome] = {}
        try:
            ended = self._hand_over(running, seconds)
        finally:
            running.end(ended)
        as_tries = {mail: running.as_try(outcome) for mail, outcome in ended.items()}
        if not self._events.put(partial(self._ended, running, as_tries)) and self._late is not None:
            for mail, try_ in as_tries.items():
                self._late(mail.place, try_)

    def _hand_over(self, running: Running, seconds: float) -> dict[Mail, Outcome]:
        of = {id(mail.message): mail for mail in running.mails}
        outcomes = tries.hand_over(
            running.route,
            [mail.message for mail in running.mails],
            seconds=seconds,
            still_wanted=lambda message: self._ask(running, of[id(message)]),
        )
        ended = zip(running.mails, outcomes, strict=True)
        return {mail: running.read(mail, outcome) for mail, outcome in ended if outcome is not None}

    def _ask(self, running: Running, mail: Mail) -> bool:
        """Ask whether a mail is wanted, for one try: before its envelope, and before its body.

        The body waited for the recipient's reply: who answered meanwhile, or was sent another code,
        must not be sent this one after it.
        """
        is_of_body = mail in running.asked
        running.asked[mail] = None
        if is_of_body or time.monotonic() - running.asked_at >= TOGETHER_SECONDS:
            if not self._events.ask(self._look):
                return False
            running.asked_at = time.monotonic()
        return not (self._events.over or mail.is_over)

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
        silent = self._running[-1]
        # In this order: it may have found out itself, and then its end is about to be told.
        return circuits[silent.route].is_open and not silent.has_ended

    def _look(self) -> bool:
        """See which mails are wanted. Returns whether one is."""
        wanted = self._still_wanted()
        if wanted is None:
            return False
        for mail in self.mails:
            mail.wanted = mail.wanted and mail.place in wanted
        return any(mail.wanted for mail in self.mails)

    def _ended(self, running: Running, ended: dict[Mail, Try]) -> None:
        for mail, try_ in ended.items():
            mail.end(try_)
        if self._events.over:
            return
        self._running.remove(running)
        if any(try_.outcome.kind is Kind.ACCEPTED for try_ in ended.values()):
            self._outrun(running)
        if all(mail.is_over for mail in self.mails):
            self._running.clear()
        else:
            self._next([mail for mail in ended if mail.may_go_on])

    def _outrun(self, winner: Running) -> None:
        for slow in self._running:
            if slow.began < winner.began:
                slow.leave.judge(OUTRUN)

    def _hedge(self) -> None:
        self._hedge_at = math.inf
        silent = self._running[-1]
        if silent.leave.is_probe:  # its pauses bound it, and a slow route must not pass for sound
            self._next(silent.mails)
            return
        bucket = hedging.buckets[silent.route]
        waiting = [mail for mail in silent.mails if mail.may_go_on]
        if not bucket.take(len(waiting)):
            silent.leave.judge(SLOW)
        elif not self._next(waiting):
            bucket.give_back(len(waiting))

    def _abandon(self) -> None:
        """Leave tries to themselves that did not end in their time: no courier is held by them."""
        for running in self._running:
            silent = running.as_try(running.give_up())
            for mail in running.mails:
                if not mail.is_over:
                    mail.end(silent)
        self._running.clear()

    def _fail(self, fault: BaseException) -> None:
        if not self._events.over:
            raise fault
