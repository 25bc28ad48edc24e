"""The way out: a mail leaves by the first route that takes it.

In: mails, the routes that they take, the seconds they have, a last question which are wanted.
Out: a `Round` for each: each `Try` with its outcome.
Knows nothing of: rows, codes, retries.

``order`` says which route comes first, ``loads`` how many mails go together. ``race`` runs a round,
fail-over and hedge, and ``tries`` hands the mails to one route. What a process knows of a route
lies in ``circuits`` (may it be used), ``hedging`` (how long it takes), ``rates`` (how much it
bears) and ``held`` (its open backends).
"""

from otpmail.routes.circuits import Standing, State, are_shut, states, wait_seconds
from otpmail.routes.held import close, held
from otpmail.routes.loads import most_together
from otpmail.routes.order import known, ordered
from otpmail.routes.race import Round, Try, send

__all__ = [
    "Round",
    "Standing",
    "State",
    "Try",
    "are_shut",
    "close",
    "known",
    "most_together",
    "ordered",
    "send",
    "states",
    "wait_seconds",
    "warm",
]


def warm() -> None:
    """Have connections opened ahead, so that the first mail finds one, where a backend can."""
    for route in known():
        with held[route].lend() as backend:
            if hasattr(backend, "warm"):
                backend.warm()
