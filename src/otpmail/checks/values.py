"""Whether each setting is known, and of its kind.

In: the settings, one by one. Out: errors. Knows nothing of: what a value is for.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from inspect import get_annotations
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error

from otpmail.checks import validators
from otpmail.conf import NAMES, PREFIX, Settings, settings
from otpmail.purposes import OVERRIDES

BOUNDS = {
    "DIGITS": (4, 10),
    "COURIERS": (1, math.inf),
    "MAIL_COURIERS": (1, math.inf),
    "QUEUE_SIZE": (1, math.inf),
    "LONG_DIGITS": (4, 10),
    "GUESSES": (1, math.inf),
    "OPEN_CHALLENGES": (1, math.inf),
    "LOCKOUT_FAILURES": (1, math.inf),
    "RECIPIENT_QUOTA": (1, math.inf),
    "CLIENT_QUOTA": (1, math.inf),
    "TRUSTED_DEVICE_QUOTA": (1, math.inf),
    "LOCKOUT_SECONDS": (1, math.inf),
    "SENDS": (1, math.inf),
    "GENERATIONS": (1, math.inf),
    "LIFE_SECONDS": (1, math.inf),
    "LEASE_SECONDS": (1, math.inf),
    "SWEEP_SECONDS": (0.01, math.inf),
    "CIRCUIT_FAULTS": (1, math.inf),
    "HEDGE_AFTER": (0.05, 60),
    "ROUTE_RATES": (1, math.inf),
}
"""The least and the greatest of a number; of all others the least is nought."""

NOT_EMPTY = frozenset({"ROUTES", "COOL_DOWN_SECONDS"})


def names() -> Iterable[CheckMessage]:
    """E001: an unknown ``OTPMAIL_*`` name, which would otherwise be ignored in silence."""
    for name in dir(django_settings):
        if name.startswith(PREFIX) and name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Remove it."
            yield Error(f"{name} is no setting of otpmail.", hint=hint, id="otpmail.E001")


def types() -> Iterable[CheckMessage]:
    """E002: a value of the wrong type, or beyond what can work; a purpose's own values too."""
    of = get_annotations(Settings, eval_str=True)
    yield from _wrong(PREFIX, {name: getattr(settings, name) for name in of}, of)
    purposes = settings.PURPOSES if isinstance(settings.PURPOSES, Mapping) else {}
    for purpose, rules in purposes.items():
        if isinstance(rules, Mapping):
            own = {name: value for name, value in rules.items() if name in OVERRIDES}
            yield from _wrong(f"OTPMAIL_PURPOSES[{purpose!r}] ", own, of)


def _wrong(where: str, values: Mapping[str, Any], of: Mapping[str, Any]) -> Iterable[Error]:
    for name, value in values.items():
        least, most = BOUNDS.get(name, (0, math.inf))
        empty = name in NOT_EMPTY and not value
        if empty or not validators.fits(value, of[name], least, most):
            wanted = validators.told(of[name], least, most) + (" and is not empty" if empty else "")
            yield Error(
                f"{where}{name} is {validators.shown(value)}, which is not {wanted}.",
                hint=f"Set it to {wanted}, or remove it for its default.",
                id="otpmail.E002",
            )
