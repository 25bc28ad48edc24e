"""The way out: a mail leaves by the first route that takes it.

In: a mail, the routes that it may take, the seconds it has, a last question whether it is wanted.
Out: a `Round`: each `Try` with its outcome, or how long to wait when no route is open.
Knows nothing of: rows, codes, retries.

``race`` runs a round: fail-over and hedge. ``order`` says which route comes first, ``tries`` hands
the mail to one of them. What a process knows of a route lies in ``circuits`` (may it be used),
``hedging`` (how long it takes), ``rates`` (how much it bears) and ``held`` (its open backends).
"""

from otpmail.routes.circuits import Standing, State, are_shut, states, wait_seconds
from otpmail.routes.held import close, held
from otpmail.routes.order import known
from otpmail.routes.race import Round, Try, send

__all__ = [
    "Round",
    "Standing",
    "State",
    "Try",
    "are_shut",
    "close",
    "known",
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
