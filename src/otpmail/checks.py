"""What is wrong with a project's settings, said when it starts, each with an id and a remedy.

In: the settings. Out: Django's check messages; each hint names the setting to change.
"""

import difflib
from collections.abc import Iterable, Mapping
from inspect import get_annotations
from typing import Any, get_origin

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections
from django.utils.module_loading import import_string

from otpmail import compat, keys
from otpmail.conf import NAMES, PREFIX, Settings, settings
from otpmail.engines.base import Engine
from otpmail.purposes import FACTS, OVERRIDES


@register()
def check_settings(**_: Any) -> Iterable[CheckMessage]:
    """Look at each setting by itself, and only if all are of their type at what they say."""
    wrong = [*_names(), *_types()]
    if wrong:
        return wrong
    rules = (_routes, _engine, _keys, _purposes, _time_zones, _lives, _timeouts)
    return [message for rule in rules for message in rule()]


@register(Tags.security, deploy=True)
def check_own_keys(**_: Any) -> Iterable[CheckMessage]:
    """W001: codes hang on ``SECRET_KEY``, whose rotation is then theirs too."""
    if not settings.KEYS:
        yield Warning(
            "OTPMAIL_KEYS is not set: codes are derived from a key made of SECRET_KEY.",
            hint="Set OTPMAIL_KEYS to a mapping of key ids to 32 bytes in URL-safe base64.",
            id="otpmail.W001",
        )


@register(Tags.database)
def check_sqlite(databases: Iterable[str] | None = None, **_: Any) -> Iterable[CheckMessage]:
    """W003: two writers on SQLite fail at once instead of waiting, unless each begins IMMEDIATE."""
    for alias in databases or ():
        connection = connections[alias]
        options = connection.settings_dict.get("OPTIONS", {})
        if connection.vendor == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
            yield Warning(
                f"DATABASES[{alias!r}] is SQLite without transaction_mode IMMEDIATE: "
                "requests and couriers will meet 'database is locked'.",
                hint="Set OPTIONS: transaction_mode 'IMMEDIATE', and init_command "
                "'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL'.",
                id="otpmail.W003",
            )


@register(Tags.database)
def check_isolation(databases: Iterable[str] | None = None, **_: Any) -> Iterable[CheckMessage]:
    """W004: under REPEATABLE READ a call that lost a race reads what stood before it."""
    for alias in databases or ():
        connection = connections[alias]
        level = connection.settings_dict.get("OPTIONS", {}).get("isolation_level", "read committed")
        if connection.vendor == "mysql" and str(level).lower() != "read committed":
            yield Warning(
                f"DATABASES[{alias!r}] is MariaDB or MySQL with isolation_level {level!r}: "
                "answers can tell an older state of a code than the one that holds.",
                hint="Leave isolation_level out: Django's default is 'read committed'.",
                id="otpmail.W004",
            )


def _names() -> Iterable[CheckMessage]:
    """E001: an unknown ``OTPMAIL_*`` name, which would otherwise be ignored in silence."""
    for name in dir(django_settings):
        if name.startswith(PREFIX) and name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Remove it."
            yield Error(f"{name} is no setting of otpmail.", hint=hint, id="otpmail.E001")


def _types() -> Iterable[CheckMessage]:
    """E002: a value of the wrong type, or a number below nought."""
    for name, kind in get_annotations(Settings, eval_str=True).items():
        value = getattr(settings, name)
        if not _fits(value, kind):
            yield Error(
                f"{PREFIX}{name} is {_shown(value)}, which is not {_told(kind)}.",
                hint=f"Set {PREFIX}{name} to {_told(kind)}, or remove it for its default.",
                id="otpmail.E002",
            )


def _routes() -> Iterable[CheckMessage]:
    """E003: a route that is no alias of ``MAILERS``; E004: no route at all."""
    known = set(compat.mailers()) or {compat.DEFAULT_ALIAS}
    for alias in settings.ROUTES:
        if alias not in known:
            yield Error(
                f"OTPMAIL_ROUTES names {alias!r}, which MAILERS does not have.",
                hint=f"MAILERS has {', '.join(sorted(known))}.",
                id="otpmail.E003",
            )
    if not settings.ROUTES:
        yield Error(
            "OTPMAIL_ROUTES is empty: no mail can leave.",
            hint="Name an alias of MAILERS, such as ['default'].",
            id="otpmail.E004",
        )


def _engine() -> Iterable[CheckMessage]:
    """E005: ``OTPMAIL_ENGINE`` is no engine."""
    try:
        engine = import_string(settings.ENGINE)
    except ImportError as error:
        engine, why = None, str(error)
    else:
        why = "it is no subclass of otpmail.engines.Engine"
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        yield Error(
            f"OTPMAIL_ENGINE {settings.ENGINE!r} cannot be used: {why}.",
            hint=f"The default is {Settings.__dict__['ENGINE']!r}.",
            id="otpmail.E005",
        )


def _keys() -> Iterable[CheckMessage]:
    """E006: a key that is not 256 bits."""
    try:
        keys.ring()
    except ValueError as error:
        yield Error(
            f"OTPMAIL_KEYS: {error}.",
            hint="Make one with: python -c "
            '"import base64, secrets; '
            'print(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())"',
            id="otpmail.E006",
        )


def _purposes() -> Iterable[CheckMessage]:
    """E007: a purpose overrides a rule that there is not; E008: its facts cannot be imported."""
    for purpose, rules in settings.PURPOSES.items():
        for rule in set(rules) - OVERRIDES - {FACTS}:
            yield Error(
                f"OTPMAIL_PURPOSES[{purpose!r}] has {rule!r}, which is no rule of a purpose.",
                hint=f"A purpose may have {', '.join(sorted(OVERRIDES | {FACTS}))}.",
                id="otpmail.E007",
            )
        if FACTS in rules:
            try:
                import_string(rules[FACTS])
            except ImportError as error:
                yield Error(
                    f"OTPMAIL_PURPOSES[{purpose!r}]['FACTS'] cannot be imported: {error}.",
                    hint="It is the dotted path of facts(challenge, *, lock).",
                    id="otpmail.E008",
                )


def _time_zones() -> Iterable[CheckMessage]:
    """E009: without time zones a code's life has no meaning on two hosts."""
    if not django_settings.USE_TZ:
        yield Error("otpmail needs USE_TZ = True.", hint="Set USE_TZ = True.", id="otpmail.E009")


def _lives() -> Iterable[CheckMessage]:
    """E010: a mail would be dead when it is promised."""
    if settings.DEAD_MAIL_SECONDS >= settings.LIFE_SECONDS:
        yield Error(
            "OTPMAIL_DEAD_MAIL_SECONDS is not below OTPMAIL_LIFE_SECONDS: no mail would leave.",
            hint="The defaults are 120 and 600.",
            id="otpmail.E010",
        )


def _timeouts() -> Iterable[CheckMessage]:
    """W002: Django's SMTP backend waits for ever by default, and a courier with it."""
    for alias in settings.ROUTES:
        config = compat.mailers().get(alias, {})
        if config.get("BACKEND", compat.SMTP) == compat.SMTP and not config.get("OPTIONS", {}).get(
            "timeout"
        ):
            yield Warning(
                f"MAILERS[{alias!r}] has no timeout: a silent mail server stops its couriers.",
                hint=f"Set MAILERS[{alias!r}]['OPTIONS']['timeout'] = 10.",
                id="otpmail.W002",
            )


def _fits(value: object, kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if isinstance(value, bool) or (origin is not str and isinstance(value, str)):
        return False
    if origin in (int, float):
        return isinstance(value, int | origin) and value >= 0
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    return isinstance(value, origin)


def _shown(value: object) -> str:
    # Never a text as it stands: it may be a key.
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def _told(kind: Any) -> str:
    told = {str: "a text", int: "a whole number from 0 up", float: "a number from 0 up"}
    if kind in told:
        return told[kind]
    return "a mapping" if issubclass(get_origin(kind), Mapping) else "a list"
