"""The way out: a mail leaves by the first route that takes it.

In: mails, the routes they may take, the seconds they have, a last question which are valid.
Out: a `SendResult` for each: each `RouteAttempt` with its outcome.
Knows nothing of: rows, codes, retries.

``order`` says which route comes first, ``batches`` how many mails go together. ``failover`` says
which of a batch's ``attempts`` is begun, and when: fail-over and hedging. ``attempt_runner`` says
in which thread, and ``transport`` gives the mails to one route. ``session_probes`` find out if an
unavailable route can be had again. What a process knows of a route lies in ``circuits`` (may it be
used), ``hedging`` (how long it takes), ``rate_limiter`` (how much it bears), ``fault_streaks`` (its
faults in a row) and ``backend_pool`` (its open backends); of recipients' domains, in
``domain_shares``. A ``call_queue`` brings what other threads did into one, and ``per_route``
forgets all in a child.
"""

import math

from django.utils.module_loading import import_string

from otpmail.db import compat
from otpmail.models import Queue
from otpmail.routes import hedging
from otpmail.routes.attempts import RouteAttempt
from otpmail.routes.backend_pool import backend_pools, close
from otpmail.routes.batches import batch_size
from otpmail.routes.circuits import (
    CircuitState,
    CircuitStatus,
    all_unavailable,
    circuit_statuses,
    wait_seconds,
)
from otpmail.routes.circuits import circuits as _circuits  # the module keeps its own name
from otpmail.routes.domain_shares import HeldCourier, is_quick
from otpmail.routes.domain_shares import domain_shares as domains  # the module keeps its own name
from otpmail.routes.failover import SendResult, send
from otpmail.routes.order import domain_of, known, ordered
from otpmail.routes.session_probes import probe_sessions, session_probe_seconds

__all__ = [
    "CircuitState",
    "CircuitStatus",
    "HeldCourier",
    "RouteAttempt",
    "SendResult",
    "all_unavailable",
    "batch_size",
    "capacity",
    "circuit_statuses",
    "close",
    "domain_of",
    "domains",
    "is_quick",
    "known",
    "may_take_utf8",
    "ordered",
    "probe_sessions",
    "send",
    "session_probe_seconds",
    "usual_seconds",
    "wait_seconds",
    "warm",
]


def warm() -> None:
    """Have connections opened ahead, so that the first mail finds one, where a backend can."""
    for route in known():
        with backend_pools[route].acquire() as backend:
            if hasattr(backend, "warm"):
                backend.warm()


def may_take_utf8(route: str) -> bool:
    """Tell whether a route may take mailboxes whose names are not ASCII; a server says for sure."""
    try:
        return compat.may_write_utf8(import_string(compat.backend_of(route)))
    except ImportError:  # a check says so
        return False


def capacity(queue: Queue) -> float:
    """Tell how many mails of a queue this process may have: all, one to find out, or none.

    Of a code's routes those that the settings name; of other mail's those that were used, too.
    """
    names = set(known()) | (set(_circuits) if queue is Queue.MAIL else set())
    if not all_unavailable(names):
        return math.inf
    return 1 if any(_circuits[route].is_reachable for route in names) else 0


def usual_seconds() -> float:
    """Tell how long nearly all mails take on the first route that is open; 0 if it is not known."""
    open_ = (route for route in known() if _circuits[route].is_closed)
    return hedging.usual_seconds(next(open_, known()[0]))
