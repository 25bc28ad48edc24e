"""A statement of the ORM's is made into text once a process and database; then values are bound.

A statement is declared beside its use, as a function that gives the ORM's query for its slots. Its
text is learnt at its first use (``sql_text``). It runs over Django's cursor, so that execute
wrappers, the log of queries and transactions are Django's. PostgreSQL takes several in one
(``WITH``): there `add` and `change` are a round trip.

In: functions of the ORM, values, rows to add. Out: rows, counts. Models' signals are not sent.
Knows nothing of: what the statements are for.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial, wraps
from itertools import batched, groupby
from typing import Any, ClassVar, override

from django.db import connections, models, transaction
from django.db.models import Model
from django.db.models.sql import DeleteQuery, InsertQuery, UpdateQuery

from otpmail.db import database
from otpmail.db.sql_text import BYTES, Places, Slot, Values, Written, each, field_of, kind, learn

AT_ONCE = 20
"""Rows that are added at a time: a database bounds how long a statement may be."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A text, and its parameters for some values."""

    text: Written
    parameters: Sequence[Any]


class Statement(ABC):
    """What all kinds have in common: slots, and one text for each count of several values."""

    known: ClassVar[list["Statement"]] = []
    """All of this process, for who holds them against the ORM."""

    def __init__(self, model: type[Model], query: Callable[..., Any], **slots: Slot) -> None:
        """Take a function of the slots that gives the ORM's query."""
        self.name = f"{query.__module__}.{query.__name__}"
        self.query = query
        self.many = {name for name, slot in slots.items() if isinstance(slot, each)}
        self.fields = {name: field_of(model, slot) for name, slot in slots.items()}
        self._of_bytes = [name for name, field in self.fields.items() if kind(field) == BYTES]
        self._texts: dict[tuple[Any, ...], tuple[Written, Sequence[Places]]] = {}
        self.known.append(self)

    @abstractmethod
    def write(self, alias: str, values: Values) -> Written:
        """Have the ORM write it for these values."""

    def bind(self, alias: str, values: Values) -> Bound:
        """Give the text for these values, and its parameters."""
        key = (
            alias,
            *(len(values[name]) for name in self.many),
            *(values[name] is None for name in self._of_bytes),
        )
        if key not in self._texts:
            self._texts[key] = learn(partial(self.write, alias), self.fields, values, self.many)
        text, slots = self._texts[key]
        connection, parameters = connections[alias], [*text.parameters]
        for slot in slots:
            value = values[slot.slot]
            items = value if slot.is_many else (value,)
            prepared = [slot.prepare(item, connection) for item in items]
            for number, place in enumerate(slot.places):
                parameters[place] = prepared[number % len(prepared)]
        return Bound(text, parameters)


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
        return self._read(database.alias(), values)

    def _read(self, alias: str, values: Values) -> list[list[Any]]:
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
        return [self._as_row(alias, row) for row in self._read(alias, values)]

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


def add(*rows: Model) -> None:
    """Add rows of models of which an `Insert` was declared, in this order."""
    alias = database.alias()
    for some in batched([inserting(row, alias) for row in rows], AT_ONCE):
        _run(alias, some)
    for row in rows:
        row._state.adding, row._state.db = False, alias


def inserting(row: Model, alias: str = "") -> Bound:
    """Bind a row, for `change`."""
    return Insert.of[type(row)].bind(alias or database.alias(), vars(row))


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
        cursor.execute(sql, parameters_of([first, *then]))
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


def parameters_of(bound: Iterable[Bound]) -> list[Any]:
    """Give the parameters of several, one after the other."""
    return [parameter for one in bound for parameter in one.parameters]


def _names(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _readers(column: Any, connection: Any) -> list[Callable[[Any, Any, Any], Any]]:
    return [
        *connection.ops.get_db_converters(column),
        *column.get_db_converters(connection),
    ]
