"""What the ORM writes for a statement is learnt: its text, and where in it each value stands.

Django writes the text of a statement anew each time, which costs ten times what running it does.
Here a statement gives the ORM's own query for named values, each of which has the type of a field
(its slots):

1. At its first use on a database the ORM writes it with examples, and then again with one slot
   changed at a time: the places that differ are the slot's. The text must not differ.
2. Binding (``statements``) prepares each value as its field does, and puts it in its places.

A slot for several values (`each`) has a text for each count of them, and a slot of bytes another
one for None, which MariaDB wants written otherwise. A slot cannot be None where rows are chosen by
it: SQL finds nothing that equals NULL.

In: how the ORM writes it for some values, the fields of its slots. Out: its text, and the places.
Knows nothing of: what kinds of statements there are, how they are run.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

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
class Places:
    """Where in the parameters a slot's values stand, and how its field prepares them."""

    slot: str
    prepare: Callable[[Any, Any], Any]
    is_many: bool
    places: Sequence[int]


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


def learn(
    write: Callable[[Values], Written],
    fields: Mapping[str, Any],
    values: Values,
    many: Collection[str],
) -> tuple[Written, Sequence[Places]]:
    """Have the ORM write a statement as for these values, and find where each slot's stand."""

    def example(name: str, number: int) -> Any:
        one = EXAMPLES[kind(fields[name])]
        if kind(fields[name]) == BYTES and values[name] is None:
            return None
        if name not in many:
            return one(number)
        count = len(values[name])
        return [one(place) for place in range(number * count, (number + 1) * count)]

    examples = {name: example(name, 0) for name in fields}
    text, slots = write(examples), []
    for name, field in fields.items():
        if examples[name] is None:
            continue
        other = write(examples | {name: example(name, 1)})
        pairs = enumerate(zip(text.parameters, other.parameters, strict=True))
        places = [place for place, (a, b) in pairs if _bare(a) != _bare(b)]
        if other.sql != text.sql or not places:
            raise ValueError(f"{name} is not only a value in the text")
        slots.append(Places(name, field.get_db_prep_save, name in many, places))
    return text, slots


def kind(field: Any) -> str:
    """Name a field's type; a foreign key's is that of what it points to."""
    while field.is_relation:
        field = field.target_field
    name: str = field.get_internal_type()
    return name


def field_of(model: type[Model], slot: Slot) -> Any:
    """Give the field whose type a slot's values have."""
    if isinstance(slot, Field):
        return slot
    return model._meta.get_field(slot.field if isinstance(slot, each) else slot)


def _bare(parameter: Any) -> Any:
    """Take off what a driver wraps a value in, which compares by identity."""
    return getattr(parameter, "obj", parameter)
