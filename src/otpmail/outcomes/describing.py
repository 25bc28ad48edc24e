"""What a log may say of an error: its kind, where it arose, and no value of a row.

In: any exception. Out: one line, or that line in a log with a traceback.
Knows nothing of: who logs.

A database quotes rows: PostgreSQL in ``DETAIL: Failing row contains (...)``, MariaDB in ``Duplicate
entry '...'``. Templates, receivers and key services quote what is in their hands. So words are told
only of errors that cannot quote one: of the system, of a database's connections, and otpmail's own.
"""

import logging
import re
from collections.abc import Mapping

from django import db

from otpmail.exceptions import OtpmailError
from otpmail.outcomes import named, words

CONSTRAINT = re.compile(
    r"for key '(?P<key>[\w.]+)'$|CONSTRAINT `(?P<check>\w+)`"
    r"|constraint failed: (?P<columns>[\w., ]+)$"
)
"""How MariaDB and SQLite name what was violated. PostgreSQL has a field for it."""

MARIADB_CLIENT = range(2000, 3000)
"""Its errors of the connection, which quote hosts and no values."""


NO_TABLE = re.compile(r"sqlstate=(42P01|42703)\b|errno=(1146|1054)\b|no such (table|column)")
"""PostgreSQL, MariaDB and SQLite, when a migration was not applied."""


class BareError(Exception):
    """Stands in a logged traceback for an error whose own words may quote something."""


def describe(error: BaseException) -> str:
    """Tell an error in one line: its type, SQLSTATE, constraint; its words if they may."""
    name = type(error).__name__
    if isinstance(error, db.Error):
        told = " ".join([_of_database(name, error), *_signs(error.__cause__ or error)])
        return f"{told} (run manage.py migrate)" if NO_TABLE.search(told) else told
    if isinstance(error, OSError | OtpmailError):
        return named(error)
    return name


def log_fault(
    log: logging.Logger,
    line: str,
    error: BaseException,
    *,
    level: int = logging.ERROR,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Log what an error kept from being done: a line, and if it is an error where it arose."""
    told = describe(error)
    # A report of the traceback shows each frame's variables; the first is who caught the error,
    # and has it with all its words.
    inner = error.__traceback__ and error.__traceback__.tb_next
    bare = (BareError, BareError(told), inner)
    exc_info = bare if level >= logging.ERROR else None
    log.log(level, "%s: %s", line, told, exc_info=exc_info, extra=extra)


def _of_database(name: str, error: db.Error) -> str:
    is_of_connection = isinstance(error, db.OperationalError | db.InterfaceError)
    if not is_of_connection or _is_of_statement(error.__cause__ or error):
        return name
    return words(f"{name}: {str(error).partition('\n')[0]}")


def _is_of_statement(cause: BaseException) -> bool:
    """Tell whether a server said it, in whose statements ``RAISE`` and ``SIGNAL`` may say all."""
    number = _number(cause)
    is_sql = getattr(cause, "sqlite_errorname", None) == "SQLITE_ERROR"
    return (
        getattr(cause, "sqlstate", None) is not None
        or (number is not None and number not in MARIADB_CLIENT)
        or (is_sql and not NO_TABLE.search(str(cause)))
    )


def _signs(cause: BaseException) -> list[str]:
    """Name what a driver says of the kind of an error: psycopg, MySQLdb, sqlite3."""
    diag = getattr(cause, "diag", None)
    match = CONSTRAINT.search(str(cause.args[-1])) if cause.args and diag is None else None
    signs = {
        "sqlstate": getattr(cause, "sqlstate", None),
        "errno": _number(cause),
        "sqlite": getattr(cause, "sqlite_errorname", None),
        "constraint": getattr(diag, "constraint_name", None)
        or (match and match[match.lastgroup or 0]),
    }
    return [f"{sign}={words(str(told))}" for sign, told in signs.items() if told]


def _number(cause: BaseException) -> int | None:
    number = cause.args[0] if len(cause.args) > 1 else None
    return number if isinstance(number, int) else None
