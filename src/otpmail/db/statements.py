"""A statement of the ORM's is made into text once a process and database; then values are bound.

Django writes the text of a statement anew each time, which costs ten times what running it does.
Here a statement is declared beside its use, as a function that gives the ORM's own query for named
values, each of which has the type of a field (its slots):

1. At its first use on a database the ORM writes it with examples, and then again with one slot
   changed at a time: the places that differ are the slot's. The text must not differ.
2. Running it prepares each value as the field does, and executes the text over Django's cursor, so
   that execute wrappers, the log of queries and transactions are Django's.

A slot for several values (`each`) has a text for each count of them. A slot cannot be None where
rows are chosen by it: SQL finds nothing that equals NULL.

In: functions of the ORM, values. Out: rows, counts. Models' signals are not sent.
Knows nothing of: what the statements are for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, override
from uuid import UUID

from django.db import connections, models, transaction
from django.db.models import Field, Model, QuerySet
from django.db.models.sql import InsertQuery, UpdateQuery

from otpmail.db import database

type Values = Mapping[str, Any]
type Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class each:  # noqa: N801 - reads as a word where a slot is declared
    """A slot for several values of a field's type."""

    field: str


type Slot = str | Field[Any, Any] | each


@dataclass(frozen=True, slots=True)
class Written:
    """A statement as the ORM writes it. ``columns`` of a SELECT can read what the driver gives."""

    sql: str
    parameters: Sequence[Any]
    columns: Sequence[Any] = ()


EXAMPLES: Mapping[str, Callable[[int], Any]] = {
    "BigIntegerField": int,
    "BinaryField": lambda number: bytes([number]),
    "BooleanField": bool,
    "CharField": str,
    "DateTimeField": lambda number: datetime.fromtimestamp(number, UTC),
    "JSONField": lambda number: {"number": number},
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "TextField": str,
    "UUIDField": lambda number: UUID(int=number),
}
"""Of each type, one value for each number."""


class Statement(ABC):
    """What all kinds have in common: slots, and one text for each count of several values."""

    known: ClassVar[list["Statement"]] = []
    """All of this process, for who holds them against the ORM."""

    def __init__(self, name: str, model: type[Model], slots: Mapping[str, Slot]) -> None:
        self.name = name
        self.many = {name for name, slot in slots.items() if isinstance(slot, each)}
        self.fields = {name: _field(model, slot) for name, slot in slots.items()}
        self._texts: dict[Row, tuple[Written, Mapping[str, Sequence[int]]]] = {}
        self.known.append(self)

    @abstractmethod
    def write(self, alias: str, values: Values) -> Written:
        """Have the ORM write it for these values."""

    def bind(self, alias: str, values: Values) -> tuple[Written, list[Any]]:
        """Give the text for these values, and its parameters."""
        key = (alias, *(len(values[name]) for name in self.many))
        if key not in self._texts:
            self._texts[key] = self._learn(alias, values)
        text, places = self._texts[key]
        connection, parameters = connections[alias], [*text.parameters]
        for name, field in self.fields.items():
            items = values[name] if name in self.many else (values[name],)
            prepared = [field.get_db_prep_save(item, connection) for item in items]
            for number, place in enumerate(places[name]):
                parameters[place] = prepared[number % len(prepared)]
        return text, parameters

    def _learn(self, alias: str, values: Values) -> tuple[Written, Mapping[str, Sequence[int]]]:
        examples = {name: self._example(name, values, 0) for name in self.fields}
        text, places = self.write(alias, examples), {}
        for name in self.fields:
            other = self.write(alias, examples | {name: self._example(name, values, 1)})
            pairs = enumerate(zip(text.parameters, other.parameters, strict=True))
            places[name] = [place for place, (a, b) in pairs if _bare(a) != _bare(b)]
            if other.sql != text.sql or not places[name]:
                raise ValueError(f"{self.name}: {name} is not only a value in the text")
        return text, places

    def _example(self, name: str, values: Values, number: int) -> Any:
        example = EXAMPLES[kind(self.fields[name])]
        if name not in self.many:
            return example(number)
        count = len(values[name])
        return [example(place) for place in range(number * count, (number + 1) * count)]


class Update(Statement):
    """Changes rows. Calling it gives their number."""

    def __init__(
        self,
        model: type[Model],
        write: Callable[..., tuple[QuerySet[Any], Mapping[str, object]]],
        **slots: Slot,
    ) -> None:
        super().__init__(f"{write.__module__}.{write.__name__}", model, slots)
        self._write = write

    def __call__(self, **values: Any) -> int:
        """Run it with these values, and give how many rows it changed."""
        alias = database.alias()
        text, parameters = self.bind(alias, values)
        with transaction.mark_for_rollback_on_error(alias), connections[alias].cursor() as cursor:
            cursor.execute(text.sql, parameters)
            count: int = cursor.rowcount
        return count

    @override
    def write(self, alias: str, values: Values) -> Written:
        rows, changes = self._write(**values)
        query: Any = rows.using(alias).query.chain(UpdateQuery)
        query.add_update_values(changes)
        return Written(*query.get_compiler(alias).as_sql())


class Select(Statement):
    """Reads tuples (``values_list``). Calling it gives all of them."""

    def __init__(
        self, model: type[Model], write: Callable[..., QuerySet[Any, Any]], **slots: Slot
    ) -> None:
        super().__init__(f"{write.__module__}.{write.__name__}", model, slots)
        self._write = write

    def __call__(self, **values: Any) -> list[list[Any]]:
        """Run it with these values, and give the rows that it found."""
        alias = database.alias()
        text, parameters = self.bind(alias, values)
        connection = connections[alias]
        with connection.cursor() as cursor:
            cursor.execute(text.sql, parameters)
            rows = [[*row] for row in cursor.fetchall()]
        for place, column in enumerate(text.columns):
            for read in _readers(column, connection):
                for row in rows:
                    row[place] = read(row[place], column, connection)
        return rows

    @override
    def write(self, alias: str, values: Values) -> Written:
        compiler = self._write(**values).using(alias).query.get_compiler(alias)
        sql, parameters = compiler.as_sql()
        return Written(sql, parameters, [column for column, _, _ in compiler.select])


class Insert(Statement):
    """Adds rows, whose columns are the slots. A key that the database makes is not read back."""

    def __init__(self, model: type[Model]) -> None:
        fields = [f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField)]
        super().__init__(f"insert {model.__name__}", model, {f.attname: f for f in fields})
        self._model = model

    def __call__(self, *rows: Model) -> None:
        """Add these rows, which are then known to be in the database."""
        alias, bound = database.alias(), []
        for row in rows:
            text, parameters = self.bind(alias, {name: getattr(row, name) for name in self.fields})
            bound.append(parameters)
        if not bound:
            return
        with transaction.mark_for_rollback_on_error(alias), connections[alias].cursor() as cursor:
            if len(bound) == 1:  # what several need costs a driver more
                cursor.execute(text.sql, bound[0])
            else:
                cursor.executemany(text.sql, bound)
        for row in rows:
            row._state.adding, row._state.db = False, alias

    @override
    def write(self, alias: str, values: Values) -> Written:
        query = InsertQuery(self._model)
        query.insert_values([*self.fields.values()], [self._model(**values)])
        ((sql, parameters),) = query.get_compiler(alias).as_sql()
        return Written(sql, parameters)


def kind(field: Any) -> str:
    """Name a field's type; a foreign key's is that of what it points to."""
    while field.is_relation:
        field = field.target_field
    name: str = field.get_internal_type()
    return name


def _field(model: type[Model], slot: Slot) -> Any:
    if isinstance(slot, Field):
        return slot
    return model._meta.get_field(slot.field if isinstance(slot, each) else slot)


def _readers(column: Any, connection: Any) -> list[Callable[[Any, Any, Any], Any]]:
    return [
        *connection.ops.get_db_converters(column),
        *column.get_db_converters(connection),
    ]


def _bare(parameter: Any) -> Any:
    """Take off what a driver wraps a value in, which compares by identity."""
    return getattr(parameter, "obj", parameter)
