"""Whether mail has a way out that is open, private and not for other mail alone.

In: ``MAILERS``, and the settings that name its aliases. Out: errors and warnings.
Knows nothing of: whether a server answers.
"""

import ipaddress
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.utils.log import AdminEmailHandler
from django.utils.module_loading import import_string

from otpmail import addresses, routes
from otpmail.backends import outbox
from otpmail.backends.translation import envelope_address
from otpmail.conf import settings
from otpmail.db import compat
from otpmail.routes.rate_limiter import RULES as RATES

OWN_TIMEOUT = {compat.OUR_SMTP: 10.0}
"""Seconds to connect, of a backend that has a time-out of its own."""


def routes_known() -> Iterable[CheckMessage]:
    """E003: a route is no alias of ``MAILERS``; E012: a route leads into the outbox again."""
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
                    id="otpmail.E012",
                )


def domains() -> Iterable[CheckMessage]:
    """E027: a domain's rule is for no address that there can be."""
    for pattern in settings.DOMAIN_ROUTES:
        try:
            addresses.in_ascii(pattern)
        except ValueError:
            yield Error(
                f"OTPMAIL_DOMAIN_ROUTES[{pattern!r}] cannot be written in ASCII, as domains are.",
                hint="Wildcards stand for whole labels where others are not ASCII: '*.straße.de'.",
                id="otpmail.E027",
            )


def sender() -> Iterable[CheckMessage]:
    """E026: the sender of codes is no address that a mail can have."""
    name = "OTPMAIL_FROM" if settings.FROM else "DEFAULT_FROM_EMAIL"
    try:
        address = envelope_address(settings.FROM or django_settings.DEFAULT_FROM_EMAIL)
        known = not addresses.needs_utf8(address) or any(map(routes.may_take_utf8, routes.known()))
        why = "" if known else "no route knows SMTPUTF8"
    except ValueError as error:
        why = str(error)
    if why:
        yield Error(
            f"{name} cannot be the sender of a mail: {why}.",
            hint=f"Set {name} to one address, as 'Example Inc. <codes@example.org>'.",
            id="otpmail.E026",
        )


def encryption() -> Iterable[CheckMessage]:
    """E013: the package that encrypts the outbox's mails is missing."""
    aliases = compat.mailers() or [compat.DEFAULT_ALIAS]
    if any(map(outbox.is_outbox, aliases)) and find_spec("cryptography") is None:
        yield Error(
            f"{outbox.BACKEND} needs the package cryptography.",
            hint="pip install otpmail[outbox]",
            id="otpmail.E013",
        )


def rates() -> Iterable[CheckMessage]:
    """E014: a route has a rate of an unknown name."""
    for alias, rates in settings.ROUTE_RATES.items():
        for rate in set(rates) - RATES:
            yield Error(
                f"OTPMAIL_ROUTE_RATES[{alias!r}] has {rate!r}, which is no rate.",
                hint=f"A route may have {', '.join(sorted(RATES))}.",
                id="otpmail.E014",
            )


def hedging() -> Iterable[CheckMessage]:
    """W007: hedging is asked for, and there is one route only."""
    if isinstance(settings.HEDGE_AFTER, int | float) and len(routes.known()) == 1:
        yield Warning(
            "OTPMAIL_HEDGE_AFTER is set, and there is one route alone.",
            hint='Add a second route to OTPMAIL_ROUTES, or remove the setting for "auto".',
            id="otpmail.W007",
        )


def timeouts() -> Iterable[CheckMessage]:
    """W002: a route of Django's SMTP backend has no timeout, so a courier may wait for ever."""
    for alias, backend, options in _routes():
        if backend == compat.SMTP and not options.get("timeout"):
            yield Warning(
                f"MAILERS[{alias!r}] has no timeout: a silent mail server stops its couriers.",
                hint=f"Set MAILERS[{alias!r}]['OPTIONS']['timeout'] = 10.",
                id="otpmail.W002",
            )


def short_timeouts() -> Iterable[CheckMessage]:
    """W009: a route's timeout is as long as an attempt may take, which is half a lease."""
    half = settings.LEASE_SECONDS / 2
    for alias, backend, options in _routes():
        timeout = options.get("timeout") or OWN_TIMEOUT.get(backend)
        if _seconds(timeout) >= half:
            yield Warning(
                f"MAILERS[{alias!r}] has a timeout of {timeout} s, which is not below half of "
                "OTPMAIL_LEASE_SECONDS: where its server is silent, an attempt has no time left.",
                hint=f"Set MAILERS[{alias!r}]['OPTIONS']['timeout'] to {min(10, half / 3):g}, "
                "or raise OTPMAIL_LEASE_SECONDS.",
                id="otpmail.W009",
            )


def plain_routes() -> Iterable[CheckMessage]:
    """W008: codes are sent over the network without TLS."""
    for alias, backend, options in _routes():
        is_smtp = backend in {compat.SMTP, compat.OUR_SMTP}
        is_secret = options.get("use_tls") or options.get("use_ssl")
        if is_smtp and not is_secret and not _is_here(options.get("host", "localhost")):
            yield Warning(
                f"MAILERS[{alias!r}] speaks to another host without TLS: "
                "whoever listens in between reads the codes.",
                hint=f"Set MAILERS[{alias!r}]['OPTIONS']['use_tls'] = True, or 'use_ssl'.",
                id="otpmail.W008",
            )


def sessions() -> Iterable[CheckMessage]:
    """W006: other mail can hold every session to the mail server, and codes wait for one."""
    for alias, backend, options in _routes():
        size = options.get("pool_size", math.inf)
        if backend == compat.OUR_SMTP and size <= settings.MAIL_COURIERS:
            yield Warning(
                f"MAILERS[{alias!r}] has a pool_size of {size}, which is not above "
                "OTPMAIL_MAIL_COURIERS: other mail can take every session.",
                hint="Raise pool_size, or lower OTPMAIL_MAIL_COURIERS.",
                id="otpmail.W006",
            )


def error_mails() -> Iterable[CheckMessage]:
    """W012: mails about errors need the database, which may be what failed."""
    if django_settings.ADMINS and any(map(_mails_by_outbox, _handlers())):
        option = '"using": an alias of MAILERS' if django.VERSION >= (6, 1) else '"email_backend"'
        yield Warning(
            "Mails of AdminEmailHandler go through the outbox. While the database is away they are "
            "sent directly, and whoever meets the error waits for that.",
            hint=f"Give the handler in LOGGING {option} that sends.",
            id="otpmail.W012",
        )


def _handlers() -> Iterator[logging.Handler]:
    """Give the handlers that loggers have now; Django's own are among them."""
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        yield from getattr(logger, "handlers", ())


def _mails_by_outbox(handler: logging.Handler) -> bool:
    if not isinstance(handler, AdminEmailHandler):
        return False
    if handler.email_backend:
        return issubclass(import_string(handler.email_backend), outbox.EmailBackend)
    return outbox.is_outbox(getattr(handler, "using", None) or compat.DEFAULT_ALIAS)


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


def _routes() -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Give backend and options of each route that codes may take; of ``EMAIL_*``, nothing."""
    for alias in routes.known():
        if (config := compat.mailers().get(alias)) is not None:
            yield alias, config.get("BACKEND", compat.SMTP), config.get("OPTIONS", {})


def _seconds(timeout: object) -> float:
    """Read a timeout: a number, or those to connect and to read, as ``requests`` takes them."""
    parts = timeout if isinstance(timeout, tuple | list) else (timeout or 0,)
    numbers = [math.inf if part is None else part for part in parts]
    return sum(part for part in numbers if isinstance(part, int | float))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
