"""The way out: a mail leaves by the first route that takes it.

In: mails, the routes that they take, the seconds they have, a last question which are wanted.
Out: a `Round` for each: each `Try` with its outcome.
Knows nothing of: rows, codes, retries.

``order`` says which route comes first, ``loads`` how many mails go together. ``race`` runs a round,
fail-over and hedge, of what is ``running``, and ``tries`` hands the mails to one route.
``knocking`` finds out whether a route that was shut can be had again. What a process knows of a
route lies in ``circuits`` (may it be used), ``hedging`` (how long it takes), ``rates`` (how much it
bears), ``streaks`` (its faults in a row) and ``held`` (its open backends); of recipients' domains,
in ``shares``. ``events`` bring what other threads did into one, and ``process`` forgets all in a
child.
"""

import math

from django.utils.module_loading import import_string

from otpmail.db import compat
from otpmail.models import Lane
from otpmail.routes import hedging
from otpmail.routes.circuits import Standing, State, are_shut, states, wait_seconds
from otpmail.routes.circuits import circuits as _circuits  # the module keeps its own name
from otpmail.routes.held import close, held
from otpmail.routes.knocking import knock, knock_seconds
from otpmail.routes.loads import most_together
from otpmail.routes.order import domain_of, known, ordered
from otpmail.routes.race import Round, send
from otpmail.routes.running import Try
from otpmail.routes.shares import is_quick, share_wait_seconds
from otpmail.routes.shares import shares as domains  # the module keeps its own name

__all__ = [
    "Round",
    "Standing",
    "State",
    "Try",
    "are_shut",
    "capacity",
    "close",
    "domain_of",
    "domains",
    "is_quick",
    "knock",
    "knock_seconds",
    "known",
    "may_take_utf8",
    "most_together",
    "ordered",
    "send",
    "share_wait_seconds",
    "states",
    "usual_seconds",
    "wait_seconds",
    "warm",
]


def warm() -> None:
    """Have connections opened ahead, so that the first mail finds one, where a backend can."""
    for route in known():
        with held[route].lend() as backend:
            if hasattr(backend, "warm"):
                backend.warm()


def may_take_utf8(route: str) -> bool:
    """Tell whether a route may take mailboxes whose names are not ASCII; a server says for sure."""
    try:
        return compat.may_write_utf8(import_string(compat.backend_of(route)))
    except ImportError:  # a check says so
        return False


def capacity(lane: Lane) -> float:
    """Tell how many mails of a lane this process may have: all, one to find out, or none.

    Of a code's routes those that the settings name; of other mail's those that were used, too.
    """
    names = set(known()) | (set(_circuits) if lane is Lane.MAIL else set())
    if not are_shut(names):
        return math.inf
    return 1 if any(_circuits[route].answers for route in names) else 0


def usual_seconds() -> float:
    """Tell how long nearly all mails take on the first route that is open; 0 if it is not known."""
    open_ = (route for route in known() if _circuits[route].is_closed)
    return hedging.usual_seconds(next(open_, known()[0]))
