"""A route that is out of order is left alone, and probed by one mail at a time.

::

    closed --- faults in a row (`FaultStreak`), or one that speaks for all mails ---> open
    open --- a pause is over, and a mail takes the way, or a session is tried ---> half-open
    half-open --- the route answers ---> closed; another fault ---> open, for longer

Only what speaks of the route is a fault: never a recipient's refusal, which shows that it answers.
A session that could be had closes nothing, but a mail may take the way at once.

In: mails that ask for a permit to use a route, and what came of them. Out: a `Permit`, or None.
Knows nothing of: mails, backends, clocks on the wall.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from otpmail import signals
from otpmail.conf import settings
from otpmail.exceptions.foreign import send_signal
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes.fault_streaks import FaultStreak
from otpmail.routes.per_route import PerRoute

PAUSE_SECONDS = 0.5
"""Until one mail asks again. Doubled each time, with `JITTER`."""

ALONE_TIMES = 2.4
"""Of it at most while no route at all is open, unless it refuses: its return shows within 2 s."""

MAX_PAUSE_SECONDS = 30
"""At most while another route is open, or it refuses: a probe may cost a mail its time."""

LASTING_SECONDS = (60, 900)
"""The first pause and the longest where somebody has to mend something: a refused sign-in that is
tried twice a second locks the account."""

JITTER = 0.25
"""Each pause is longer or shorter by up to this part: processes must not come back together."""

MAX_LEFT_ALONE_SECONDS = 300
"""A provider that asks to be left alone for longer (HTTP 429) is asked again after this."""

GRACE_SECONDS = 2.0
"""Left to a probe beyond what any attempt may take, half a lease, before another may begin."""

MOST_PROBES = 3
"""Probes of a route that may be under way; each that hangs holds a thread."""

TELL_SECONDS = 60
"""That a circuit stays open is told once in so long, with how often it was asked."""


class CircuitState(Enum):
    """Whether mails may use a route."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """One route's circuit, for whoever watches."""

    state: CircuitState
    faults: int
    """In a row."""
    since_seconds: float
    """How long it has stood so."""


class Circuit:
    """One route in one process. All its decisions are taken under its lock."""

    def __init__(self, route: str) -> None:
        self.route = route
        self._lock = threading.Lock()
        self._state = CircuitState.CLOSED
        self._since = time.monotonic()
        self._streak = FaultStreak()
        self._pause_seconds = PAUSE_SECONDS
        self._jitter = 1.0
        self._is_refused = False  # for good: that is not hammered
        self._is_lasting = False
        self._asked_at = 0.0
        self._left_alone_until = 0.0
        self._probing_until = -math.inf  # one that hangs for longer is silent
        self._probes = 0  # under way, those that hang included
        self._is_reachable = False  # a session could be had, and no mail has taken the way since
        self._told_at = -math.inf
        self._untold = 0  # faults since then
        self._called_at = -math.inf  # when somebody was called for it

    @property
    def status(self) -> CircuitStatus:
        """Tell how it stands."""
        with self._lock:
            return CircuitStatus(self._state, self._streak.faults, time.monotonic() - self._since)

    @property
    def is_closed(self) -> bool:
        """Whether every mail may use it."""
        return self._state is CircuitState.CLOSED

    @property
    def is_open(self) -> bool:
        """Whether no mail may use it just now; not so while one probes."""
        return self._state is CircuitState.OPEN

    @property
    def is_reachable(self) -> bool:
        """Whether it is not closed, and a session could be had: one mail is to find out more."""
        return self._is_reachable

    def acquire(self, *, alone: bool, may_probe: bool = True) -> "Permit | None":
        """Give a permit to use the route: to all while it is closed, else to one probe when due."""
        with self._lock:
            if self._wait_seconds(alone=alone) > 0:
                return None
            if self._state is CircuitState.CLOSED:
                return Permit(self, probe=False)
            if not may_probe:
                return None
            self._probing_until = time.monotonic() + settings.LEASE_SECONDS / 2 + GRACE_SECONDS
            self._probes, self._is_reachable = self._probes + 1, False
            self._set_state(CircuitState.HALF_OPEN)
            return Permit(self, probe=True)

    def wait_seconds(self, *, alone: bool) -> float:
        """Tell how long until it may give a permit: 0 if now."""
        with self._lock:
            return self._wait_seconds(alone=alone)

    def _wait_seconds(self, *, alone: bool) -> float:
        if self._state is CircuitState.CLOSED:
            return 0.0
        if time.monotonic() < self._probing_until or self._probes >= MOST_PROBES:
            return PAUSE_SECONDS
        if self._is_reachable:
            return 0.0
        pause = self._pause_seconds
        if alone and not self._is_refused:
            pause = min(pause, ALONE_TIMES * PAUSE_SECONDS)
        asked_again_at = self._asked_at + pause * self._jitter
        return max(0.0, max(asked_again_at, self._left_alone_until) - time.monotonic())

    def _set_state(self, state: CircuitState) -> None:
        self._state, self._since = state, time.monotonic()

    def record(
        self, outcome: Outcome, *, probe: bool, domain: str = "", has_other: bool = False
    ) -> None:
        """Take what came of a mail. Of one that set out before the circuit opened: nothing."""
        with self._lock:
            if self._state is not CircuitState.CLOSED and not probe:
                return
            if _is_fault(outcome):
                is_enough = self._streak.add(outcome, domain=domain, has_other=has_other)
                news = self._open(outcome) if is_enough or not self.is_closed else None
            else:
                news = self._record_answer(outcome)
        if news is not None:
            news()

    def _open(self, outcome: Outcome) -> Callable[[], object] | None:
        was_closed = self.is_closed
        self._lengthen_pause(outcome)
        self._asked_at = time.monotonic()
        self._is_refused = outcome.kind is Kind.PERMANENT or outcome.is_lasting
        wish_seconds = outcome.retry_after_seconds or 0
        self._left_alone_until = self._asked_at + min(wish_seconds, MAX_LEFT_ALONE_SECONDS)
        self._set_state(CircuitState.OPEN)
        return self._tell_open(outcome) if was_closed else self._tell_still_open(outcome)

    def _lengthen_pause(self, outcome: Outcome) -> None:
        first, most = PAUSE_SECONDS, MAX_PAUSE_SECONDS
        if outcome.is_lasting:
            first, most = LASTING_SECONDS
        was_asked = outcome.retry_after_seconds is None  # else it stands, and nobody asked
        goes_on = was_asked and not self.is_closed and outcome.is_lasting is self._is_lasting
        self._is_lasting = outcome.is_lasting
        self._pause_seconds = min(2 * self._pause_seconds, most) if goes_on else first
        self._jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret

    def _tell_open(self, outcome: Outcome) -> Callable[[], object]:
        self._told_at, self._untold = -math.inf, 0
        flaps = time.monotonic() - self._called_at < TELL_SECONDS
        if not flaps:
            self._called_at = time.monotonic()
        return partial(
            send_signal,
            signals.circuit_opened,
            sender=Circuit,
            route=self.route,
            outcome=outcome,
            flaps=flaps,
        )

    def _tell_still_open(self, outcome: Outcome) -> Callable[[], object] | None:
        self._untold += 1
        if time.monotonic() - self._told_at < TELL_SECONDS:
            return None
        self._told_at, asked, self._untold = time.monotonic(), self._untold, 0
        return partial(
            send_signal,
            signals.circuit_stays_open,
            sender=Circuit,
            route=self.route,
            outcome=outcome,
            asked=asked,
        )

    def _record_answer(self, outcome: Outcome) -> Callable[[], object] | None:
        if not _is_answer(outcome):  # the mail never came as far as the route
            return None
        was_closed, self._streak = self.is_closed, FaultStreak()
        if was_closed:
            return None
        self._set_state(CircuitState.CLOSED)
        return partial(send_signal, signals.circuit_closed, sender=Circuit, route=self.route)

    def end_probe(self) -> None:
        """Let another mail probe, if this one did not close the circuit."""
        with self._lock:
            self._probes -= 1
            self._probing_until = -math.inf
            if self._state is CircuitState.HALF_OPEN:
                self._set_state(CircuitState.OPEN)

    def session_probed(self, *, answers: bool) -> None:
        """Take whether a session could be had: if so, one mail may probe at once."""
        with self._lock:
            self._is_reachable, self._asked_at = answers, time.monotonic()


class Permit:
    """A circuit's leave for one attempt; its outcome counts once."""

    def __init__(self, circuit: Circuit, *, probe: bool) -> None:
        self._circuit = circuit
        self.is_probe = probe
        self._unrecorded = threading.Semaphore()  # two threads may tell what came of it

    def record(self, outcome: Outcome | None, *, domain: str = "", has_other: bool = False) -> None:
        """Say what came of it, or what is to count as that; None: it was not tried.

        ``domain`` is the recipient's; ``has_other``: the mail may take another route.
        """
        if outcome is not None and self._unrecorded.acquire(blocking=False):
            self._circuit.record(outcome, probe=self.is_probe, domain=domain, has_other=has_other)

    def end(self, outcome: Outcome | None, *, domain: str = "", has_other: bool = False) -> None:
        """Say that it is over. A probe that hangs is the only one for half a lease."""
        try:
            self.record(outcome, domain=domain, has_other=has_other)
        finally:
            if self.is_probe:
                self._circuit.end_probe()


def circuit_statuses() -> dict[str, CircuitStatus]:
    """Tell each route's state in this process, of those that were used."""
    return {route: circuit.status for route, circuit in list(circuits.items())}


def all_unavailable(routes: Iterable[str]) -> bool:
    """Tell whether none of these is closed, so that only probes may leave."""
    return not any(circuits[route].is_closed for route in routes)


def wait_seconds(routes: Iterable[str]) -> float:
    """Tell how long until a mail may leave by one of these routes: 0 if now."""
    circuits_ = [circuits[route] for route in routes]
    alone = not any(circuit.is_closed for circuit in circuits_)
    return min((circuit.wait_seconds(alone=alone) for circuit in circuits_), default=0.0)


def _is_fault(outcome: Outcome) -> bool:
    return outcome.kind is not Kind.ACCEPTED and outcome.blame is Blame.ROUTE


def _is_answer(outcome: Outcome) -> bool:
    return outcome.kind is Kind.ACCEPTED or outcome.code is not None


circuits = PerRoute(Circuit)
