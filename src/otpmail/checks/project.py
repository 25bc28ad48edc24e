"""Whether the project that otpmail stands in can bear it: its commands, clock, engine, metrics.

In: Django's settings, ``OTPMAIL_ENGINE``, what couriers and metrics need. Out: errors and warnings.
Knows nothing of: codes, routes.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands, load_command_class
from django.utils.module_loading import import_string

from otpmail.audit.chain import LEAST_DAYS
from otpmail.conf import Settings, settings
from otpmail.engines.base import Engine
from otpmail.operations.metrics_view import LEAST_TOKEN

FLUSH = "otpmail.management.commands.flush"


def check_flush(**_: Any) -> Iterable[CheckMessage]:
    """W010: another app's ``flush`` hides ours, and cannot empty the audit."""
    app = get_commands()["flush"]
    command = load_command_class(app, "flush") if isinstance(app, str) else app
    if all(base.__module__ != FLUSH for base in type(command).__mro__):
        yield Warning(
            f"manage.py flush is that of {app!r}, which cannot empty the audit: it will fail, and "
            "so will each TransactionTestCase.",
            hint="Put 'otpmail' before it in INSTALLED_APPS, or make its Command a subclass of "
            f"{FLUSH}.Command.",
            id="otpmail.W010",
        )


def time_zones() -> Iterable[CheckMessage]:
    """E008: without time zones a code's life has no meaning on two hosts."""
    if not django_settings.USE_TZ:
        yield Error("otpmail needs USE_TZ = True.", hint="Set USE_TZ = True.", id="otpmail.E008")


def audit_days() -> Iterable[CheckMessage]:
    """E033: the audit is to be deleted sooner than the database allows."""
    if 0 < settings.AUDIT_KEEP_DAYS < LEAST_DAYS:
        yield Error(
            f"OTPMAIL_AUDIT_KEEP_DAYS is below {LEAST_DAYS}: no younger entry can be deleted.",
            hint=f"Set it to {LEAST_DAYS} or more, or to 0 to keep the audit for good.",
            id="otpmail.E033",
        )


def engine() -> Iterable[CheckMessage]:
    """E004: ``OTPMAIL_ENGINE`` is no engine; E011: what the engine needs is missing."""
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
    for wrong in engine.check():
        yield Error(
            f"OTPMAIL_ENGINE {settings.ENGINE!r} cannot work: {wrong.message}.",
            hint=wrong.hint,
            id="otpmail.E011",
        )


def leases() -> Iterable[CheckMessage]:
    """E010: a lease can lapse while its courier works."""
    if settings.LEASE_SECONDS <= 2 * settings.SWEEP_SECONDS:
        yield Error(
            "OTPMAIL_LEASE_SECONDS is not above twice OTPMAIL_SWEEP_SECONDS: "
            "a lease would lapse while its courier works.",
            hint="The defaults are 60 and 1.",
            id="otpmail.E010",
        )


def couriers() -> Iterable[CheckMessage]:
    """W005: other mail can hold every courier, and codes wait for one."""
    if settings.MAIL_COURIERS >= settings.COURIERS:
        yield Warning(
            "OTPMAIL_MAIL_COURIERS is not below OTPMAIL_COURIERS: no courier is kept for codes.",
            hint="The defaults are 2 and 8.",
            id="otpmail.W005",
        )


def metrics() -> Iterable[CheckMessage]:
    """E020: the metrics' token is too short; E021: the package that writes metrics is missing."""
    if 0 < len(settings.METRICS_TOKEN) < LEAST_TOKEN:
        yield Error(
            f"OTPMAIL_METRICS_TOKEN has fewer than {LEAST_TOKEN} characters.",
            hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
            id="otpmail.E020",
        )
    if settings.METRICS_TOKEN and find_spec("prometheus_client") is None:
        yield Error(
            "OTPMAIL_METRICS_TOKEN is set, and metrics need the package prometheus-client.",
            hint="pip install otpmail[metrics]",
            id="otpmail.E021",
        )
