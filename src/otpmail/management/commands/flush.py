"""``manage.py flush``: Django's own, which may empty the tables that are otherwise only added to.

Django's tests call it too, after each ``TransactionTestCase``. Another app's ``flush`` that stands
before otpmail in ``INSTALLED_APPS`` has to be a subclass of this one (``otpmail.W010``).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, override

from django.core.management.commands import flush
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from otpmail.db import append_only


class Command(flush.Command):
    """Django's, with the locks lifted for as long as its statements run."""

    @override
    def handle(self, **options: Any) -> None:
        with _unlocking(connections[options["database"]]):
            super().handle(**options)


@contextmanager
def _unlocking(connection: BaseDatabaseWrapper) -> Iterator[None]:
    # Not around the whole command: nobody is to wait for a lock while a person is asked.
    ops: Any = connection.ops
    execute = ops.execute_sql_flush

    def unlocked(statements: Iterable[str]) -> None:
        before, after = append_only.lift(connection) if statements else ([], [])
        execute([*before, *statements, *after])

    ops.execute_sql_flush = unlocked
    try:
        yield
    finally:
        del ops.execute_sql_flush  # the class's own is seen again
