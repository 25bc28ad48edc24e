"""Rows are added, or changed where they are there: in one statement, which the ORM cannot write.

In: rows of models of which an `Insert` was declared. Out: what they hold then, and the time.
Knows nothing of: what is counted in them.
"""

import re
from collections.abc import Sequence
from typing import Any

from django.db import connections, transaction
from django.db.models import Model

from otpmail.db import database
from otpmail.db.statements import inserting, parameters_of

_UPSERT = {
    "postgresql": ("ON CONFLICT (id) DO UPDATE SET", r"EXCLUDED.\1", "GREATEST"),
    "sqlite": ("ON CONFLICT (id) DO UPDATE SET", r"EXCLUDED.\1", "MAX"),
    "mysql": ("ON DUPLICATE KEY UPDATE", r"VALUES(\1)", "GREATEST"),
}
"""How a database begins what it does with a row that is there, and writes ``new(x)``."""


class Upsert:
    """Adds rows of which an `Insert` was declared, or changes those that are there.

    Calling it gives of each row the columns that it ``tells``, and at their end the database's
    clock. The ORM writes no value that depends on what is there and on what was to be: ``changes``
    are SQL by column, in which ``old.x`` is what the row holds, and ``new(x)`` what was to be.
    """

    def __init__(self, model: type[Model], *tells: str, **changes: str) -> None:
        self._model, self._changes, self._tells = model, changes, tells
        self._texts: dict[tuple[str, int], str] = {}

    def __call__(self, rows: Sequence[Model]) -> list[Sequence[Any]]:
        """Run it: on all databases it takes their locks in this order."""
        alias = database.alias()
        bound = [inserting(row, alias) for row in rows]
        key = (alias, len(rows))
        if key not in self._texts:
            self._texts[key] = self._write(connections[alias], bound[0].text.sql, len(rows))
        with transaction.mark_for_rollback_on_error(alias), connections[alias].cursor() as cursor:
            cursor.execute(self._texts[key], parameters_of(bound))
            told: list[Sequence[Any]] = cursor.fetchall()
        return told

    def _write(self, connection: Any, insert: str, count: int) -> str:
        begin, new, greatest = _UPSERT[connection.vendor]
        into, _, values = insert.partition(" VALUES ")
        changes = ", ".join(f"{column} = {sql}" for column, sql in self._changes.items())
        changes = re.sub(r"new\((\w+)\)", new, changes).replace("GREATEST", greatest)
        changes = changes.replace("old.", f"{self._model._meta.db_table}.")
        told = ", ".join([*self._tells, database.clock_of(connection)])
        return f"{into} VALUES {', '.join([values] * count)} {begin} {changes} RETURNING {told}"
