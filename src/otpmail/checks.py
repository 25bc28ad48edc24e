"""What is wrong with a project's settings, said when it starts, each with an id and a remedy.

In: the settings. Out: Django's check messages; each hint names the setting to change.
"""

import difflib
import ipaddress
import math
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from inspect import get_annotations
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from otpmail import compat, keys, kinds, routes
from otpmail.backends import outbox
from otpmail.conf import NAMES, PREFIX, Settings, settings
from otpmail.engines.base import Engine
from otpmail.purposes import FACTS, OVERRIDES, Purpose
from otpmail.routes.rates import RULES as RATES
from otpmail.scraping import LEAST_TOKEN

BOUNDS = {
    "DIGITS": (4, 10),
    "COURIERS": (1, math.inf),
    "MAIL_COURIERS": (1, math.inf),
    "QUEUE_SIZE": (1, math.inf),
    "LONG_DIGITS": (4, 10),
    "GUESSES": (1, math.inf),
    "OPEN_CHALLENGES": (1, math.inf),
    "FAILURE_BUDGET": (1, math.inf),
    "RECIPIENT_QUOTA": (1, math.inf),
    "CLIENT_QUOTA": (1, math.inf),
    "DEVICE_RESERVE": (1, math.inf),
    "BLOCK_SECONDS": (1, math.inf),
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

OUR_SMTP = "otpmail.backends.smtp.EmailBackend"

NOT_EMPTY = frozenset({"ROUTES", "COOL_DOWN_SECONDS"})

CAPS = ("FAILURE_BUDGET", "RECIPIENT_QUOTA", "CLIENT_QUOTA", "DEVICE_RESERVE")
PAIR = ("an hour", "a day")


@register()
def check_settings(**_: Any) -> Iterable[CheckMessage]:
    """Look at each setting by itself, and only if all are of their type at what they say."""
    wrong = [*_names(), *_types()]
    if wrong:
        return wrong
    rules = (
        *(_routes, _rates, _hedging, _timeouts, _plain_routes, _sessions, _couriers, _sealing),
        *(_engine, _keys, _purposes, _links, _metrics, _time_zones, _lives, _caps, _digits),
    )
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


@register()
def check_sqlite(**_: Any) -> Iterable[CheckMessage]:
    """W003: two writers on SQLite fail at once instead of waiting, unless each begins IMMEDIATE."""
    for alias in connections:
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


@register()
def check_isolation(**_: Any) -> Iterable[CheckMessage]:
    """W004: under REPEATABLE READ a call that lost a race reads what stood before it."""
    for alias in connections:
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
        if empty or not kinds.fits(value, of[name], least, most):
            wanted = kinds.told(of[name], least, most) + (" and is not empty" if empty else "")
            yield Error(
                f"{where}{name} is {kinds.shown(value)}, which is not {wanted}.",
                hint=f"Set it to {wanted}, or remove it for its default.",
                id="otpmail.E002",
            )


def _routes() -> Iterable[CheckMessage]:
    """E003: a route that is no alias of ``MAILERS``; E021: one that leads into the outbox again."""
    known = set(compat.mailers()) or {compat.DEFAULT_ALIAS}
    for where, aliases in _named_routes():
        for alias in aliases:
            if alias not in known:
                yield Error(
                    f"{where} names {alias!r}, which MAILERS does not have.",
                    hint=f"MAILERS has {', '.join(sorted(known))}.",
                    id="otpmail.E003",
                )
            elif outbox.is_outbox(alias):
                yield Error(
                    f"{where} names {alias!r}, which leads into the outbox: no mail would leave.",
                    hint=f"Name an alias of MAILERS that sends, and not {outbox.BACKEND}.",
                    id="otpmail.E021",
                )


def _named_routes() -> Iterable[tuple[str, Iterable[str]]]:
    yield "OTPMAIL_ROUTES", settings.ROUTES
    yield "OTPMAIL_ROUTE_RATES", settings.ROUTE_RATES
    for pattern, aliases in settings.DOMAIN_ROUTES.items():
        yield f"OTPMAIL_DOMAIN_ROUTES[{pattern!r}]", aliases
    for purpose, rules in settings.PURPOSES.items():
        yield f"OTPMAIL_PURPOSES[{purpose!r}]['ROUTES']", rules.get("ROUTES", ())
    for alias in filter(outbox.is_outbox, compat.mailers()):
        options = compat.mailers()[alias].get("OPTIONS", {})
        yield f"MAILERS[{alias!r}]['OPTIONS']['routes']", options.get("routes") or ()


def _sealing() -> Iterable[CheckMessage]:
    """E022: the outbox keeps mails, and nothing can seal them."""
    aliases = compat.mailers() or [compat.DEFAULT_ALIAS]
    if any(map(outbox.is_outbox, aliases)) and find_spec("cryptography") is None:
        yield Error(
            f"{outbox.BACKEND} needs the package cryptography.",
            hint="pip install otpmail[outbox]",
            id="otpmail.E022",
        )


def _rates() -> Iterable[CheckMessage]:
    """E030: a rate of a kind that there is not."""
    for alias, rates in settings.ROUTE_RATES.items():
        for rate in set(rates) - RATES:
            yield Error(
                f"OTPMAIL_ROUTE_RATES[{alias!r}] has {rate!r}, which is no rate.",
                hint=f"A route may have {', '.join(sorted(RATES))}.",
                id="otpmail.E030",
            )


def _hedging() -> Iterable[CheckMessage]:
    """W030: a silent route is to get company, and there is no other."""
    if isinstance(settings.HEDGE_AFTER, int | float) and len(routes.known()) == 1:
        yield Warning(
            "OTPMAIL_HEDGE_AFTER is set, and there is one route alone.",
            hint='Add a second route to OTPMAIL_ROUTES, or remove the setting for "auto".',
            id="otpmail.W030",
        )


def _engine() -> Iterable[CheckMessage]:
    """E004: ``OTPMAIL_ENGINE`` is no engine; E011: what it stands on is missing."""
    try:
        engine = import_string(settings.ENGINE)
    except (ImportError, ImproperlyConfigured) as error:
        engine, why = None, str(error)
    else:
        why = "it is no subclass of otpmail.engines.Engine"
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        yield Error(
            f"OTPMAIL_ENGINE {settings.ENGINE!r} cannot be used: {why}.",
            hint=f"The default is {Settings.__dict__['ENGINE']!r}.",
            id="otpmail.E004",
        )
        return
    for fault in engine.faults():
        yield Error(
            f"OTPMAIL_ENGINE {settings.ENGINE!r} cannot work: {fault.message}.",
            hint=fault.hint,
            id="otpmail.E011",
        )


def _keys() -> Iterable[CheckMessage]:
    """E005: a key that is not 256 bits; E031: ``OTPMAIL_KEY_CLASS`` is no class of keys."""
    try:
        kind = import_string(settings.KEY_CLASS)
    except ImportError:
        kind = None
    if not (isinstance(kind, type) and issubclass(kind, keys.SigningKey)):
        yield Error(
            f"OTPMAIL_KEY_CLASS {settings.KEY_CLASS!r} is no subclass of otpmail.keys.SigningKey.",
            hint=f"The default is {Settings.__dict__['KEY_CLASS']!r}.",
            id="otpmail.E031",
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


def _purposes() -> Iterable[CheckMessage]:
    """E006: a purpose overrides a rule that there is not; E007: its facts cannot be imported."""
    for purpose, rules in settings.PURPOSES.items():
        for rule in set(rules) - OVERRIDES - {FACTS}:
            yield Error(
                f"OTPMAIL_PURPOSES[{purpose!r}] has {rule!r}, which is no rule of a purpose.",
                hint=f"A purpose may have {', '.join(sorted(OVERRIDES | {FACTS}))}.",
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


def _links() -> Iterable[CheckMessage]:
    """E032: ``OTPMAIL_BASE_URL`` is no address; E033: the page that it leads to is not there."""
    parts = urlsplit(settings.BASE_URL)
    if not settings.BASE_URL:
        return
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
        yield Error(
            "OTPMAIL_BASE_URL is not scheme and host alone.",
            hint="Set it as https://bank.example; the path is that of otpmail.urls.",
            id="otpmail.E032",
        )
    try:
        reverse("otpmail:cancel", args=["x"])
    except NoReverseMatch:
        yield Error(
            "OTPMAIL_BASE_URL is set, and the page that mails would link to is nowhere.",
            hint='Add path("codes/", include("otpmail.urls")) to your URLs.',
            id="otpmail.E033",
        )


def _metrics() -> Iterable[CheckMessage]:
    """E051: the token is too short to guard the metrics; E052: nothing can write them."""
    if 0 < len(settings.METRICS_TOKEN) < LEAST_TOKEN:
        yield Error(
            f"OTPMAIL_METRICS_TOKEN has fewer than {LEAST_TOKEN} characters.",
            hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
            id="otpmail.E051",
        )
    if settings.METRICS_TOKEN and find_spec("prometheus_client") is None:
        yield Error(
            "OTPMAIL_METRICS_TOKEN is set, and metrics need the package prometheus-client.",
            hint="pip install otpmail[metrics]",
            id="otpmail.E052",
        )


def _time_zones() -> Iterable[CheckMessage]:
    """E008: without time zones a code's life has no meaning on two hosts."""
    if not django_settings.USE_TZ:
        yield Error("otpmail needs USE_TZ = True.", hint="Set USE_TZ = True.", id="otpmail.E008")


def _lives() -> Iterable[CheckMessage]:
    """E009: a mail would be dead when it is promised; E010: others would take a living lease."""
    for purpose in map(Purpose, ["", *settings.PURPOSES]):
        if purpose.dead_mail >= purpose.life:
            yield Error(
                f"DEAD_MAIL_SECONDS is not below LIFE_SECONDS for purpose {purpose.name!r}: "
                "no mail would leave.",
                hint="The defaults are 120 and 600.",
                id="otpmail.E009",
            )
    if settings.LEASE_SECONDS <= 2 * settings.SWEEP_SECONDS:
        yield Error(
            "OTPMAIL_LEASE_SECONDS is not above twice OTPMAIL_SWEEP_SECONDS: "
            "a lease would lapse while its courier works.",
            hint="The defaults are 60 and 5.",
            id="otpmail.E010",
        )


def _ways() -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Give backend and options of each route that codes may take; of ``EMAIL_*``, nothing."""
    for alias in routes.known():
        if (config := compat.mailers().get(alias)) is not None:
            yield alias, config.get("BACKEND", compat.SMTP), config.get("OPTIONS", {})


def _timeouts() -> Iterable[CheckMessage]:
    """W002: Django's SMTP backend waits for ever by default, and a courier with it."""
    for alias, backend, options in _ways():
        if backend == compat.SMTP and not options.get("timeout"):
            yield Warning(
                f"MAILERS[{alias!r}] has no timeout: a silent mail server stops its couriers.",
                hint=f"Set MAILERS[{alias!r}]['OPTIONS']['timeout'] = 10.",
                id="otpmail.W002",
            )


def _couriers() -> Iterable[CheckMessage]:
    """W021: codes wait behind other mail for a courier."""
    if settings.MAIL_COURIERS >= settings.COURIERS:
        yield Warning(
            "OTPMAIL_MAIL_COURIERS is not below OTPMAIL_COURIERS: no courier is kept for codes.",
            hint="The defaults are 2 and 8.",
            id="otpmail.W021",
        )


def _sessions() -> Iterable[CheckMessage]:
    """W022: codes wait behind other mail for a session to the mail server."""
    for alias, backend, options in _ways():
        size = options.get("pool_size", math.inf)
        if backend == OUR_SMTP and size <= settings.MAIL_COURIERS:
            yield Warning(
                f"MAILERS[{alias!r}] has a pool_size of {size}, which is not above "
                "OTPMAIL_MAIL_COURIERS: other mail can take every session.",
                hint="Raise pool_size, or lower OTPMAIL_MAIL_COURIERS.",
                id="otpmail.W022",
            )


def _caps() -> Iterable[CheckMessage]:
    """E041: a cap is not one an hour and one a day, or a wait not the first and the longest."""
    caps = {name: getattr(settings, name) for name in (*CAPS, "BLOCK_SECONDS")}
    for name, cap in caps.items():
        is_pair = len(cap) == len(PAIR) and cap[0] <= cap[1]
        if not is_pair and (cap or name not in CAPS):
            yield Error(
                f"{PREFIX}{name} is not two numbers, the second no less than the first.",
                hint=f"The default is {Settings.__dict__[name]}.",
                id="otpmail.E041",
            )


def _digits() -> Iterable[CheckMessage]:
    """E042: the long codes are the shorter ones."""
    for purpose in map(Purpose, ["", *settings.PURPOSES]):
        if purpose.digits(long=True) < purpose.digits():
            yield Error(
                f"LONG_DIGITS is below DIGITS for purpose {purpose.name!r}.",
                hint="The defaults are 8 and 6.",
                id="otpmail.E042",
            )


def _plain_routes() -> Iterable[CheckMessage]:
    """W031: codes go over the network in the clear."""
    for alias, backend, options in _ways():
        is_smtp = backend in {compat.SMTP, OUR_SMTP}
        is_secret = options.get("use_tls") or options.get("use_ssl")
        if is_smtp and not is_secret and not _is_here(options.get("host", "localhost")):
            yield Warning(
                f"MAILERS[{alias!r}] speaks to another host without TLS: "
                "whoever listens in between reads the codes.",
                hint=f"Set MAILERS[{alias!r}]['OPTIONS']['use_tls'] = True, or 'use_ssl'.",
                id="otpmail.W031",
            )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
