"""A statement of the ORM's is made into text once a process and database; then values are bound.

Django writes the text of a statement anew each time, which costs ten times what running it does.
Here a statement gives the ORM's own query for named values, each of which has the type of a field
(its slots):

1. At its first use on a database the ORM writes it with examples, and then again with one slot
   changed at a time: the places that differ are the slot's. The text must not differ.
2. Binding prepares each value as its field does, and puts it in its places.

A slot for several values (`each`) has a text for each count of them, and a slot of bytes another
one for None, which MariaDB wants written otherwise. A slot cannot be None where rows are chosen by
it: SQL finds nothing that equals NULL.

In: functions of the ORM, values. Out: its text and parameters.
Knows nothing of: what kinds of statements there are, how they are run.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db import connections
from django.db.models import Field, Model

type Values = Mapping[str, Any]


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


@dataclass(frozen=True, slots=True)
class _Places:
    """Where in the parameters a slot's values stand, and how its field prepares them."""

    slot: str
    prepare: Callable[[Any, Any], Any]
    is_many: bool
    places: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bound:
    """A text, and its parameters for some values."""

    text: Written
    parameters: Sequence[Any]


BYTES = "BinaryField"

EXAMPLES: Mapping[str, Callable[[int], Any]] = {
    "BigIntegerField": int,
    BYTES: lambda number: bytes([number]),
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

    def __init__(self, model: type[Model], query: Callable[..., Any], **slots: Slot) -> None:
        """Take a function of the slots that gives the ORM's query."""
        self.name = f"{query.__module__}.{query.__name__}"
        self.query = query
        self.many = {name for name, slot in slots.items() if isinstance(slot, each)}
        self.fields = {name: _field(model, slot) for name, slot in slots.items()}
        self._of_bytes = [name for name, field in self.fields.items() if kind(field) == BYTES]
        self._texts: dict[tuple[Any, ...], tuple[Written, Sequence[_Places]]] = {}
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
        learnt = self._texts.get(key)
        if learnt is None:
            learnt = self._texts[key] = self._learn(alias, values)
        text, slots = learnt
        connection, parameters = connections[alias], [*text.parameters]
        for slot in slots:
            value = values[slot.slot]
            items = value if slot.is_many else (value,)
            prepared = [slot.prepare(item, connection) for item in items]
            for number, place in enumerate(slot.places):
                parameters[place] = prepared[number % len(prepared)]
        return Bound(text, parameters)

    def _learn(self, alias: str, values: Values) -> tuple[Written, Sequence[_Places]]:
        examples = {name: self._example(name, values, 0) for name in self.fields}
        text, slots = self.write(alias, examples), []
        for name, field in self.fields.items():
            if examples[name] is None:
                continue
            other = self.write(alias, examples | {name: self._example(name, values, 1)})
            pairs = enumerate(zip(text.parameters, other.parameters, strict=True))
            places = [place for place, (a, b) in pairs if _bare(a) != _bare(b)]
            if other.sql != text.sql or not places:
                raise ValueError(f"{self.name}: {name} is not only a value in the text")
            slots.append(_Places(name, field.get_db_prep_save, name in self.many, places))
        return text, slots

    def _example(self, name: str, values: Values, number: int) -> Any:
        example = EXAMPLES[kind(self.fields[name])]
        if name in self._of_bytes and values[name] is None:
            return None
        if name not in self.many:
            return example(number)
        count = len(values[name])
        return [example(place) for place in range(number * count, (number + 1) * count)]


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


def _bare(parameter: Any) -> Any:
    """Take off what a driver wraps a value in, which compares by identity."""
    return getattr(parameter, "obj", parameter)
