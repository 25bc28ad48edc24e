"""Whether an unavailable route is back is asked without a mail: a session is opened.

So a host that cannot reach its mail server, or does not get past the sign-in there, keeps no code
to find that out, and writes no attempt. Whether the route takes mails, a mail finds out then.

In: the circuits of this process. Out: circuits of which one mail may try, and a hint.
Knows nothing of: rows, mails.
"""

import math
import threading
from collections.abc import Callable, Iterator

from otpmail.conf import settings
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import order, transport
from otpmail.routes.circuits import Permit, all_unavailable, circuits

NO_ANSWER = Outcome(kind=Kind.TRANSIENT, reply="it could not be asked", blame=Blame.ROUTE)


def probe_sessions(*, then: Callable[[], object]) -> None:
    """Probe each unavailable route whose time it is, in a thread of its own; wait for none.

    ``then`` is called when one answers.
    """
    for route, alone in _shut():
        if not circuits[route].is_reachable:
            permit = circuits[route].acquire(alone=alone)
            if permit is not None and permit.is_probe:
                _probe_apart(route, permit, then)


def session_probe_seconds() -> float:
    """Tell how long until one is to be probed; infinite if all are closed."""
    shut = ((circuits[route], alone) for route, alone in _shut())
    waits = (one.wait_seconds(alone=alone) for one, alone in shut if not one.is_reachable)
    return min(waits, default=math.inf)


def _shut() -> Iterator[tuple[str, bool]]:
    """Give each route that is not closed, and whether some mail has no other."""
    ways = list(order.route_sets())
    alone = {route for way in ways if all_unavailable(way) for route in way}
    for route in dict.fromkeys(route for way in ways for route in way):
        if not circuits[route].is_closed:
            yield route, route in alone


def _probe_apart(route: str, permit: Permit, then: Callable[[], object]) -> None:
    def ask() -> None:
        fault: Outcome | None = NO_ANSWER
        try:
            fault = transport.open_session(route, seconds=settings.LEASE_SECONDS / 2)
        finally:
            permit.end(fault)
            circuits[route].session_probed(answers=fault is None)
        if fault is None:
            then()

    thread = threading.Thread(target=ask, name=f"otpmail-probe-{route}", daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError, OSError):  # no thread can be had just now
        permit.end(None)
        circuits[route].session_probed(answers=False)
