"""Whether each of the project's databases can bear otpmail, and which one holds its rows.

In: ``DATABASES``, ``DATABASE_ROUTERS``. Out: errors and warnings.
Knows nothing of: what is in a database; none is asked.
"""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.db import DEFAULT_DB_ALIAS, connections, router

from otpmail.db import database


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


def check_routers(**_: Any) -> Iterable[CheckMessage]:
    """E025: otpmail's rows are written to more than one database.

    W011: otpmail's rows are written to another database than what a project writes with them.
    """
    ours = {router.db_for_write(model) for model in apps.get_app_config("otpmail").get_models()}
    if len(ours) > 1:
        yield Error(
            f"otpmail's models are written to several databases: {', '.join(sorted(ours))}.",
            hint="Let the routers of DATABASE_ROUTERS give db_for_write one alias for them all: "
            "what they hold is written in one transaction.",
            id="otpmail.E025",
        )
    others = {
        router.db_for_write(model)
        for model in apps.get_models()
        if model._meta.app_label != "otpmail"
    }
    if database.alias() not in (others or {DEFAULT_DB_ALIAS}):
        yield Warning(
            f"otpmail's rows are written to DATABASES[{database.alias()!r}], and no other app's: "
            "a rollback of your transaction takes back no code and no confirmation, and a crash "
            "between two commits leaves one without the other.",
            hint="Route otpmail to the database that your own rows are written to; or silence "
            "this, and make what verify() confirms repeatable.",
            id="otpmail.W011",
        )
