"""What a code is for: the facts that it is bound to, and what follows from its purpose's settings.

In: a purpose, and ``OTPMAIL_PURPOSES``; a challenge, to tell whether its facts are still those of
its issue. Out: facts, digits, waits. Knows nothing of: codes, mails.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from otpmail.conf import settings
from otpmail.crypto import linking
from otpmail.crypto.transaction_data import Facts

if TYPE_CHECKING:
    from otpmail.models import Challenge

FACTS = "FACTS"
"""Beside a purpose's settings: the dotted path of ``facts(challenge, *, lock) -> Facts | None``.

It reads the transaction's facts as they stand now, None if there is no such transaction any more.
With ``lock`` it runs inside the transaction that consumes the code, and locks what it reads.
"""

SAMPLE = "SAMPLE"
"""And beside them: facts and context that a mail may show, for the check that renders it once."""

type FactsNow = Callable[..., Facts | None]


def unchanged_facts(challenge: "Challenge", *, lock: bool) -> Facts | None:
    """Read the facts that a challenge stands for; None if anything is no longer as it was at issue.

    Without facts of its own it has none: an empty mapping. Raises `NotHereError`.
    """
    if not challenge.is_bound:
        return {} if linking.holds(challenge, None) else None
    now = _reader(challenge.purpose)(challenge, lock=lock)
    return now if now is not None and linking.holds(challenge, now) else None


def check_facts(purpose: str) -> None:
    """Raise ImproperlyConfigured if nothing tells the facts that a code would be bound to."""
    _reader(purpose)


def check_decoys(purpose: str) -> None:
    """Raise ImproperlyConfigured if callers are signed in: then there is nothing to hide."""
    if not settings.of(purpose).BEFORE_SIGN_IN:
        raise ImproperlyConfigured(
            f"A decoy for {purpose!r} hides nothing from somebody who is signed in: "
            f"set OTPMAIL_PURPOSES[{purpose!r}]['BEFORE_SIGN_IN'] to True, or issue none."
        )


def digits(purpose: str, *, long: bool = False) -> int:
    """Digits of a code, or of a long one; before sign-in all are long."""
    own = settings.of(purpose)
    return own.LONG_DIGITS if long or own.BEFORE_SIGN_IN else own.DIGITS


def cool_down(purpose: str, sends: int) -> timedelta:
    """Give the wait after so many mails (1 or more) before the next may be asked for."""
    waits = settings.of(purpose).COOL_DOWN_SECONDS
    return timedelta(seconds=waits[min(sends, len(waits)) - 1])


def sample(purpose: str) -> Mapping[str, str | int]:
    """Give what a mail may show, facts and context."""
    return cast("Mapping[str, str | int]", _own(purpose).get(SAMPLE, {}))


def _reader(purpose: str) -> FactsNow:
    path = _own(purpose).get(FACTS)
    if path is None:
        raise ImproperlyConfigured(
            f"A code for {purpose!r} is bound to facts, and nothing tells what they are now: "
            f"set OTPMAIL_PURPOSES[{purpose!r}]['FACTS']."
        )
    return _imported(path)


def _own(purpose: str) -> Mapping[str, Any]:
    return settings.PURPOSES.get(purpose, {})


@lru_cache
def _imported(path: str) -> FactsNow:
    return cast("FactsNow", import_string(path))
