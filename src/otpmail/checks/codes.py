"""Whether codes can be made, mailed in time, bound and limited as the settings say.

In: keys, purposes, lives, caps. Out: errors, and a warning of deployment.
Knows nothing of: rows.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from urllib.parse import urlsplit

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from otpmail.conf import PER_PURPOSE, PREFIX, Settings, settings
from otpmail.crypto import keys
from otpmail.db import arguments
from otpmail.purposes import FACTS, SAMPLE
from otpmail.purposes import digits as digits_of

CAPS = ("LOCKOUT_FAILURES", "RECIPIENT_QUOTA", "CLIENT_QUOTA", "TRUSTED_DEVICE_QUOTA")
ORIGIN = re.compile(
    r"https?://([^\s/?#@:\\\[\]<>\"]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/*", re.IGNORECASE
)
"""Scheme, host, perhaps a port (RFC 6454, 6.2); a slash behind it does no harm."""

PAIR = ("an hour", "a day")

LEAST_BYTES = 18
"""So many different ones, or fewer, are among 32 random bytes once in fifty million keys."""


def own_keys() -> Iterable[CheckMessage]:
    """W001: codes are derived from a key that is made of ``SECRET_KEY``, and rotates with it."""
    if not settings.KEYS:
        yield Warning(
            "OTPMAIL_KEYS is not set: codes are derived from a key made of SECRET_KEY.",
            hint="Set OTPMAIL_KEYS to a mapping of key ids to 32 bytes in URL-safe base64.",
            id="otpmail.W001",
        )


def strong_keys() -> Iterable[CheckMessage]:
    """E023: a key of the ring can be guessed, or is the value of two ids."""
    for key_id, why in _weak_keys().items():
        yield Error(
            f"OTPMAIL_KEYS: key {key_id!r} {why}.",
            hint="Make another with: manage.py otpmail_key; put it first, and revoke this one.",
            id="otpmail.E023",
        )


def _weak_keys() -> Mapping[str, str]:
    """Tell which keys of the ring are no secrets, by id, and why. A malformed ring has none."""
    try:
        given = [key for key in keys.ring().values() if settings.KEYS]
    except (ValueError, ImportError):  # told by another check
        return {}
    told = {key.id: _why_guessable(key.secret) for key in given if isinstance(key, keys.Key)}
    seen: dict[object, str] = {}
    for key in given:
        first = seen.setdefault(key.secret if isinstance(key, keys.Key) else key.value, key.id)
        if first != key.id:
            told[key.id] = f"is the same as {first!r}"
    return {key_id: why for key_id, why in told.items() if why}


def _why_guessable(secret: bytes) -> str:
    """Say what random bytes look like once in ten million keys at most."""
    steps = {(one - other) % 256 for one, other in pairwise(secret)}
    if len(set(secret)) <= LEAST_BYTES or len(steps) <= LEAST_BYTES:
        return "repeats itself"
    if all(0x20 <= byte < 0x7F for byte in secret):  # noqa: PLR2004 - ASCII that can be typed
        return "is a text"
    return ""


def private_links() -> Iterable[CheckMessage]:
    """E024: the links in mails, which cancel codes, are not protected by TLS."""
    if urlsplit(settings.BASE_URL).scheme == "http":
        yield Error(
            "OTPMAIL_BASE_URL is http://: mails lead to a page without TLS.",
            hint="Set it as https://bank.example.",
            id="otpmail.E024",
        )


def ring() -> Iterable[CheckMessage]:
    """E005: a key of the ring is not 32 bytes; E022: one is named as revoked besides.

    E015: ``OTPMAIL_KEY_CLASS`` is no class of keys.
    """
    try:
        kind = import_string(settings.KEY_CLASS)
    except ImportError:
        kind = None
    if not (isinstance(kind, type) and issubclass(kind, keys.SigningKey)):
        yield Error(
            f"OTPMAIL_KEY_CLASS {settings.KEY_CLASS!r} is no subclass of "
            "otpmail.crypto.keys.SigningKey.",
            hint=f"The default is {Settings.__dict__['KEY_CLASS']!r}.",
            id="otpmail.E015",
        )
        return
    try:
        keys.ring()
    except ValueError as error:
        yield Error(
            f"OTPMAIL_KEYS: {error}.",
            hint="Make one with: manage.py otpmail_key",
            id="otpmail.E005",
        )
    for key_id in set(settings.KEYS) & set(settings.REVOKED_KEYS):
        yield Error(
            f"OTPMAIL_REVOKED_KEYS names {key_id!r}, which is still in OTPMAIL_KEYS.",
            hint=f"Take {key_id!r} out of OTPMAIL_KEYS, and let another key stand first.",
            id="otpmail.E022",
        )


def purposes() -> Iterable[CheckMessage]:
    """E006: a purpose has a rule that does not exist; E032: no call takes a purpose's name.

    E007: what a purpose's ``FACTS`` names cannot be imported.
    """
    for purpose, rules in settings.PURPOSES.items():
        try:
            arguments.text("its name", purpose, arguments.PURPOSE_LENGTH)
        except ValueError as error:
            yield Error(
                f"OTPMAIL_PURPOSES has {purpose[:60]!r}: {error}.",
                hint="Give the purpose another name.",
                id="otpmail.E032",
            )
        for rule in set(rules) - PER_PURPOSE - {FACTS, SAMPLE}:
            yield Error(
                f"OTPMAIL_PURPOSES[{purpose!r}] has {rule!r}, which is no rule of a purpose.",
                hint=f"A purpose may have {', '.join(sorted(PER_PURPOSE | {FACTS, SAMPLE}))}.",
                id="otpmail.E006",
            )
        if FACTS in rules:
            try:
                import_string(rules[FACTS])
            except ImportError as error:
                yield Error(
                    f"OTPMAIL_PURPOSES[{purpose!r}]['FACTS'] cannot be imported: {error}.",
                    hint="It is the dotted path of facts(challenge, *, lock).",
                    id="otpmail.E007",
                )


def lives() -> Iterable[CheckMessage]:
    """E009: a code's life is so short that its mail is dropped before it is sent."""
    for purpose in ["", *settings.PURPOSES]:
        own = settings.of(purpose)
        if own.LEAST_LIFE_SECONDS >= own.LIFE_SECONDS:
            yield Error(
                f"LEAST_LIFE_SECONDS is not below LIFE_SECONDS for purpose {purpose!r}: "
                "no mail would leave.",
                hint="The defaults are 120 and 600.",
                id="otpmail.E009",
            )


def digits() -> Iterable[CheckMessage]:
    """E019: long codes have fewer digits than usual ones."""
    for purpose in ["", *settings.PURPOSES]:
        if digits_of(purpose, long=True) < digits_of(purpose):
            yield Error(
                f"LONG_DIGITS is below DIGITS for purpose {purpose!r}.",
                hint="The defaults are 8 and 6.",
                id="otpmail.E019",
            )


def caps() -> Iterable[CheckMessage]:
    """E018: a cap is not one an hour and one a day, or a wait not the first and the longest."""
    caps = {name: getattr(settings, name) for name in (*CAPS, "LOCKOUT_SECONDS")}
    for name, cap in caps.items():
        is_pair = len(cap) == len(PAIR) and cap[0] <= cap[1]
        if not is_pair and (cap or name not in CAPS):
            yield Error(
                f"{PREFIX}{name} is not two numbers, the second no less than the first.",
                hint=f"The default is {Settings.__dict__[name]}.",
                id="otpmail.E018",
            )


def links() -> Iterable[CheckMessage]:
    """E016: ``OTPMAIL_BASE_URL`` is not scheme and host alone.

    E017: the page that it leads to is not among the URLs.
    """
    if not settings.BASE_URL:
        return
    if not ORIGIN.fullmatch(settings.BASE_URL):
        yield Error(
            "OTPMAIL_BASE_URL is not scheme and host alone.",
            hint="Set it as https://bank.example; the path is that of otpmail.urls.",
            id="otpmail.E016",
        )
    try:
        reverse("otpmail:cancel")
    except NoReverseMatch:
        yield Error(
            "OTPMAIL_BASE_URL is set, and the page that mails would link to is nowhere.",
            hint='Add path("codes/", include("otpmail.urls")) to your URLs.',
            id="otpmail.E017",
        )
