"""How many mails go together: a moment's work for the route that comes first.

In: what takes the same routes, as they stand in this process. Out: the same, cut into loads.
Knows nothing of: mails.

A load saves most of a round's work, and its price is that each mail waits for all: so it is as
large as the route's last mails let it be. One by one go mails whose routes keep a rate or do not
keep their time, all while only a probe may leave, and the last one when a probe is due.
"""

from collections.abc import Iterator, Sequence

from otpmail.conf import settings
from otpmail.routes import hedging, tries
from otpmail.routes.circuits import circuits

MOST = 16

MOMENT_SECONDS = 0.25
"""Well below the least wait for a hedge, so that a load is not taken for silence."""


def in_loads[T](mails: Sequence[T], routes: Sequence[str]) -> Iterator[Sequence[T]]:
    """Cut mails that take these routes into loads."""
    most = most_together(routes)
    end = len(mails) - (most > 1 and _is_probe_due(routes))
    for start in range(0, end, most):
        yield mails[start : min(start + most, end)]
    if end < len(mails):
        yield mails[end:]


def most_together(routes: Sequence[str]) -> int:
    """Tell how many mails that take these routes may go together."""
    first = next((route for route in routes if circuits[route].is_closed), None)
    if first is None or not all(map(_takes_loads, routes)):
        return 1
    usual_seconds = hedging.usual_seconds(first)
    return 1 if not usual_seconds else min(MOST, max(1, int(MOMENT_SECONDS / usual_seconds)))


def _is_probe_due(routes: Sequence[str]) -> bool:
    others = [circuits[route] for route in routes if not circuits[route].is_closed]
    return any(circuit.wait_seconds(alone=False) == 0 for circuit in others)


def _takes_loads(route: str) -> bool:
    return route not in settings.ROUTE_RATES and tries.keeps_time(route)
