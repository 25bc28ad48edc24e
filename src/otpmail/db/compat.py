"""What differs between the Djangos and Pythons that otpmail runs on; nothing else knows.

Django 5.2 and 6.0 have no ``MAILERS``: the same dict is read here, and without it the ``EMAIL_*``
settings are the route ``default``, as in Django itself.
"""

import os
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from email import policy
from email.message import EmailMessage, Message
from email.policy import Policy
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

DEFAULT_ALIAS = "default"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
OUR_SMTP = "otpmail.backends.smtp.EmailBackend"

MADE: type[Message] = EmailMessage
"""The class of what a mail's ``message()`` gives."""
MADE_BY: "Policy[Any]" = policy.default
"""The policy by which that is written, and all parts of it."""

if django.VERSION < (6, 0):
    from django.core.mail.message import MIMEMixin  # ``as_bytes(linesep=...)``

    MADE, MADE_BY = type("Made", (MIMEMixin, Message), {}), policy.compat32


def mailer(alias: str) -> BaseEmailBackend:
    """Build the mail backend of an alias of ``MAILERS``. Each call builds a new one."""
    if not mailers():  # the EMAIL_* settings of before MAILERS
        return get_connection()
    if django.VERSION >= (6, 1):
        from django.core.mail import mailers as handler

        return handler[alias]
    if settings.EMAIL_BACKEND == LOCMEM:  # a test runner catches all mail by this setting
        return get_connection()
    config = mailers()[alias]
    backend = import_string(config.get("BACKEND", SMTP))
    return backend(**config.get("OPTIONS", {}))  # type: ignore[no-any-return]


def mailers() -> Mapping[str, Mapping[str, Any]]:
    """Give the configured aliases; empty where a project still lives on ``EMAIL_*``."""
    return getattr(settings, "MAILERS", None) or {}


def may_write_utf8(backend: type) -> bool:
    """Tell whether a backend may know SMTPUTF8. Django's for SMTP does not.

    Django 5.2's would mail ``jürgen@`` to ``=?utf-8?q?j=C3=BCrgen?=@``, somebody else's mailbox.
    """
    known = import_string(SMTP)
    sends = ("send_messages", "_send", "prep_address")
    is_djangos = all(getattr(backend, way, None) is getattr(known, way, None) for way in sends)
    return not (issubclass(backend, known) and is_djangos)


def tasks() -> ModuleType:
    """Give ``django.tasks``; before Django 6.0 the package django-tasks stands for it."""
    return import_module("django.tasks" if django.VERSION >= (6, 0) else "django_tasks")


def backend_of(alias: str) -> str:
    """Give the dotted path of an alias's backend."""
    if not mailers():  # the EMAIL_* settings of before MAILERS
        return str(settings.EMAIL_BACKEND)
    if django.VERSION < (6, 1) and settings.EMAIL_BACKEND == LOCMEM:  # as in `mailer`
        return LOCMEM
    return str(mailers().get(alias, {}).get("BACKEND", SMTP))


def server_of(alias: str) -> str:
    """Name where an alias's mail goes, for a log: host and port, or the backend of an API."""
    options, backend = mailers().get(alias, {}).get("OPTIONS", {}), backend_of(alias)
    if "host" in options or backend in {SMTP, OUR_SMTP}:
        return ":".join(map(str, _host_and_port(options)))
    return urlsplit(str(options.get("api_url", ""))).hostname or backend


def _host_and_port(options: Mapping[str, Any]) -> tuple[object, object]:
    host, port = options.get("host"), options.get("port")
    if not mailers() or django.VERSION < (6, 1):  # a backend takes the rest from these
        return host or settings.EMAIL_HOST, port or settings.EMAIL_PORT
    return host, port or (465 if options.get("use_ssl") else 587 if options.get("use_tls") else 25)


def options_of(path: str) -> Mapping[str, Any]:
    """Give what ``MAILERS["default"]`` says to a backend that EMAIL_BACKEND names.

    Django 5.2 and 6.0 make that backend without them.
    """
    default = mailers().get(DEFAULT_ALIAS, {})
    older = django.VERSION < (6, 1) and default.get("BACKEND") == path
    return default.get("OPTIONS", {}) if older else {}


def uuid7() -> uuid.UUID:
    """Make an id that sorts by time and cannot be guessed: 74 random bits (RFC 9562, 5.7).

    Python 3.14 has its own, which spends most of those bits on a counter.
    """
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=value & ~(0b11 << 62) | 0b10 << 62)


def first_uuid7(moment: datetime) -> uuid.UUID:
    """Give the least id that could have been made then."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
