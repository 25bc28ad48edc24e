"""The kinds of statements that are written once (``sql_text``), and how they are run.

A statement is declared beside its use, as a function that gives the ORM's query for its slots. It
runs over Django's cursor, so that execute wrappers, the log of queries and transactions are
Django's. PostgreSQL takes several in one (``WITH``): there `add` and `change` are a round trip.

In: functions of the ORM, values, rows to add. Out: rows, counts. Models' signals are not sent.
Knows nothing of: what the statements are for.
"""

import re
import weakref
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from itertools import batched, groupby
from typing import Any, ClassVar, override

from django.db import connections, models, transaction
from django.db.models import Model
from django.db.models.sql import DeleteQuery, InsertQuery, UpdateQuery

from otpmail.db import database
from otpmail.db.sql_text import Bound, Slot, Statement, Values, Written

AT_ONCE = 20
"""Rows that are added at a time: a database bounds how long a statement may be."""

_UPSERT = {
    "postgresql": ("ON CONFLICT (id) DO UPDATE SET", r"EXCLUDED.\1", "GREATEST"),
    "sqlite": ("ON CONFLICT (id) DO UPDATE SET", r"EXCLUDED.\1", "MAX"),
    "mysql": ("ON DUPLICATE KEY UPDATE", r"VALUES(\1)", "GREATEST"),
}
"""How a database begins what it does with a row that is there, and writes ``new(x)``."""


class Change(Statement):
    """Changes rows. Calling it gives their number."""

    def __call__(self, **values: Any) -> int:
        """Run it with these values, and give how many rows it changed."""
        alias = database.alias()
        return _run(alias, [self.bind(alias, values)])

    def bound(self, **values: Any) -> Bound:
        """Bind it, for `change`."""
        return self.bind(database.alias(), values)


class Update(Change):
    """Changes columns. Its query is the rows, and the new values by column."""

    @override
    def write(self, alias: str, values: Values) -> Written:
        rows, changes = self.query(**values)
        query: Any = rows.using(alias).query.chain(UpdateQuery)
        query.add_update_values(changes)
        return Written(*query.get_compiler(alias).as_sql())


class Delete(Change):
    """Deletes rows on which nothing hangs."""

    def write(self, alias: str, values: Values) -> Written:
        """Have the ORM write it for these values."""
        query: Any = self.query(**values).using(alias).query.chain(DeleteQuery)
        return Written(*query.get_compiler(alias).as_sql())


class Select(Statement):
    """Reads tuples (``values_list``). Calling it gives all of them."""

    def __init__(self, model: type[Model], query: Callable[..., Any], **slots: Slot) -> None:
        super().__init__(model, query, **slots)
        self._reading: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def __call__(self, **values: Any) -> list[list[Any]]:
        """Run it with these values, and give the rows that it found."""
        alias = database.alias()
        bound, connection = self.bind(alias, values), connections[alias]
        with connection.cursor() as cursor:
            cursor.execute(bound.text.sql, bound.parameters)
            rows = [[*row] for row in cursor.fetchall()]
        for place, column, readers in self._readers(connection, bound.text) if rows else ():
            for read in readers:
                for row in rows:
                    row[place] = read(row[place], column, connection)
        return rows

    @override
    def write(self, alias: str, values: Values) -> Written:
        compiler = self.query(**values).using(alias).query.get_compiler(alias)
        sql, parameters = compiler.as_sql()
        return Written(sql, parameters, [column for column, _, _ in compiler.select])

    def _readers(self, connection: Any, text: Written) -> Sequence[tuple[int, Any, Any]]:
        """Tell which places are read, and how. A reader knows its connection."""
        found = self._reading.get(connection)
        if found is None:
            every = [(*one, _readers(one[1], connection)) for one in enumerate(text.columns)]
            found = self._reading[connection] = [one for one in every if one[2]]
        return found


class Find(Select):
    """Finds rows of a model, each with the rows that its keys to one, or one's to it, lead to.

    Its query is the rows, and ``related`` names the keys. Calling it gives each of the rows, and
    the database's time then.
    """

    def __init__(
        self, model: type[Model], query: Callable[..., Any], *related: str, **slots: Slot
    ) -> None:
        others: list[Any] = [model._meta.get_field(name).related_model for name in related]
        self._model, self._names = model, _names(model)
        self._related = [*zip(related, others, map(_names, others), strict=True)]

        @wraps(query)
        def tuples(**values: Any) -> Any:
            of_others = [
                f"{name}__{column}" for name, _, columns in self._related for column in columns
            ]
            columns = [*self._names, *of_others, database.ClockColumn()]
            return query(**values).values_list(*columns)

        super().__init__(model, tuples, **slots)

    def __call__(self, **values: Any) -> list[tuple[Any, datetime]]:  # type: ignore[override]
        """Run it."""
        alias = database.alias()
        return [self._as_row(alias, row) for row in super().__call__(**values)]

    def _as_row(self, alias: str, values: Sequence[Any]) -> tuple[Any, datetime]:
        place = len(self._names)
        row: Any = self._model.from_db(alias, self._names, values[:place])
        for name, other, names in self._related:
            of_other = values[place : place + len(names)]
            place += len(names)
            if of_other[names.index(other._meta.pk.attname)] is not None:  # else there is none
                setattr(row, name, other.from_db(alias, names, of_other))
        return row, database.as_time(values[-1])


class Insert(Statement):
    """Adds a row of a model, by `add` or `change`. A key that the database makes is not read."""

    of: ClassVar[dict[type[Model], "Insert"]] = {}

    def __init__(self, model: type[Model]) -> None:
        fields = [f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField)]
        super().__init__(model, model, **{field.attname: field for field in fields})
        self.of[model] = self

    @override
    def write(self, alias: str, values: Values) -> Written:
        row = self.query(**values)
        query = InsertQuery(type(row))
        query.insert_values([*self.fields.values()], [row])
        ((sql, parameters),) = query.get_compiler(alias).as_sql()
        return Written(sql, parameters)


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
        bound = [_inserting(alias, row) for row in rows]
        key = (alias, len(rows))
        if key not in self._texts:
            self._texts[key] = self._write(connections[alias], bound[0].text.sql, len(rows))
        with transaction.mark_for_rollback_on_error(alias), connections[alias].cursor() as cursor:
            cursor.execute(self._texts[key], _parameters(bound))
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


def add(*rows: Model) -> None:
    """Add rows of models of which an `Insert` was declared, in this order."""
    alias = database.alias()
    for some in batched([_inserting(alias, row) for row in rows], AT_ONCE):
        _run(alias, some)
    for row in rows:
        row._state.adding, row._state.db = False, alias


def inserting(row: Model) -> Bound:
    """Bind a row, for `change`."""
    return _inserting(database.alias(), row)


def change(first: Bound, *then: Bound) -> int:
    """Do the first, and if it changes rows the others too. Gives how many rows.

    All or nothing: in the caller's transaction, or one of its own.
    """
    alias = database.alias()
    if connections[alias].vendor == "postgresql":
        return _change_at_once(alias, first, then)
    with transaction.atomic(using=alias, savepoint=False):
        changed = _run(alias, [first])
        if changed:
            _run(alias, then)
    return changed


def _change_at_once(alias: str, first: Bound, then: Sequence[Bound]) -> int:
    texts = _in_order([first.text.sql, *(one.text.sql for one in then)])
    named = ", ".join(f"t{number} AS ({sql})" for number, sql in enumerate(texts))
    with transaction.mark_for_rollback_on_error(alias), connections[alias].cursor() as cursor:
        sql = f"WITH {named} SELECT COUNT(*) FROM t0"  # noqa: S608 - the ORM's texts
        cursor.execute(sql, _parameters([first, *then]))
        (changed,) = cursor.fetchone()
    return int(changed)


def _in_order(texts: Sequence[str]) -> list[str]:
    """Let statements of one ``WITH`` depend on the first, and each row that is added on the last.

    PostgreSQL promises no order between them, and a key that counts is to tell which came first.
    """
    told, last = [f"{texts[0]} RETURNING 1"], 0
    for number, sql in enumerate(texts[1:], 1):
        into, is_insert, values = sql.partition(" VALUES (")
        if is_insert:
            added = f"{into} SELECT {values.removesuffix(')')} WHERE {_is_done(last)} RETURNING 1"
            told, last = [*told, added], number
        else:
            told.append(f"{sql} AND {_is_done(0)}")
    return told


def _is_done(number: int) -> str:
    return f"EXISTS (SELECT 1 FROM t{number})"  # noqa: S608 - a number of ours


def _run(alias: str, bound: Sequence[Bound]) -> int:
    """Run them in their order. Gives how many rows the last one changed."""
    if connections[alias].vendor == "postgresql" and len(bound) > 1:
        return _change_at_once(alias, bound[0], bound[1:])
    with transaction.mark_for_rollback_on_error(alias), connections[alias].cursor() as cursor:
        _run_each(cursor, bound)
        count: int = cursor.rowcount
    return count


def _run_each(cursor: Any, bound: Iterable[Bound]) -> None:
    for sql, alike in groupby(bound, lambda one: one.text.sql):
        parameters = [one.parameters for one in alike]
        if len(parameters) == 1:  # what several need costs a driver more
            cursor.execute(sql, parameters[0])
        else:
            cursor.executemany(sql, parameters)


def _inserting(alias: str, row: Model) -> Bound:
    return Insert.of[type(row)].bind(alias, vars(row))


def _parameters(bound: Iterable[Bound]) -> list[Any]:
    return [parameter for one in bound for parameter in one.parameters]


def _names(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _readers(column: Any, connection: Any) -> list[Callable[[Any, Any, Any], Any]]:
    return [
        *connection.ops.get_db_converters(column),
        *column.get_db_converters(connection),
    ]
