"""Whether each setting is known, and of its kind.

In: the settings, one by one. Out: errors. Knows nothing of: what a value is for.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error

from otpmail.checks import validators
from otpmail.conf import NAMES, PER_PURPOSE, PREFIX, RULES, settings


def names() -> Iterable[CheckMessage]:
    """E001: an unknown ``OTPMAIL_*`` name, which would otherwise be ignored in silence."""
    for name in dir(django_settings):
        if name.startswith(PREFIX) and name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Remove it."
            yield Error(f"{name} is no setting of otpmail.", hint=hint, id="otpmail.E001")


def types() -> Iterable[CheckMessage]:
    """E002: a value of the wrong type, or beyond what can work; a purpose's own values too."""
    yield from _wrong(PREFIX, {name: getattr(settings, name) for name in RULES})
    purposes = settings.PURPOSES if isinstance(settings.PURPOSES, Mapping) else {}
    for purpose, rules in purposes.items():
        if isinstance(rules, Mapping):
            own = {name: value for name, value in rules.items() if name in PER_PURPOSE}
            yield from _wrong(f"OTPMAIL_PURPOSES[{purpose!r}] ", own)


def _wrong(where: str, values: Mapping[str, Any]) -> Iterable[Error]:
    for name, value in values.items():
        if not validators.fits(value, *RULES[name]):
            wanted = validators.told(*RULES[name])
            yield Error(
                f"{where}{name} is {validators.shown(value)}, which is not {wanted}.",
                hint=f"Set it to {wanted}, or remove it for its default.",
                id="otpmail.E002",
            )
