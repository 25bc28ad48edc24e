"""How many mails go together: a moment's work for the route that comes first.

In: routes, as they stand in this process. Out: a number of mails.
Knows nothing of: mails.

A batch saves most of a round's work, and its price is that each mail waits for all: so it is as
large as the route's last mails let it be. One by one go mails whose routes keep a rate or do not
keep their time, and all while one is due to go and see whether a better route is back.
"""

import itertools
from collections.abc import Sequence

from otpmail.conf import settings
from otpmail.routes import hedging, transport
from otpmail.routes.circuits import circuits

MOST = 8

MOMENT_SECONDS = 0.25
"""Well below the least wait for a hedge, so that a batch is not taken for silence."""

OF_A_HEDGE = 0.25


def batch_size(routes: Sequence[str]) -> int:
    """Tell how many mails that take these routes, in this order, may go together."""
    shut = [*itertools.takewhile(lambda route: not circuits[route].is_closed, routes)]
    probe_is_due = any(circuits[route].wait_seconds(alone=False) == 0 for route in shut)
    if len(shut) == len(routes) or probe_is_due or not all(map(_takes_batches, routes)):
        return 1
    first = routes[len(shut)]
    moment = min(MOMENT_SECONDS, OF_A_HEDGE * hedging.after_seconds(first))
    usual_seconds = hedging.usual_seconds(first)
    return min(MOST, max(1, int(moment / usual_seconds))) if usual_seconds else 1


def _takes_batches(route: str) -> bool:
    return route not in settings.ROUTE_RATES and transport.keeps_time(route)
