"""JSON that gives back what it was given: dates, numbers, octets, tuples, keys that are no text.

In: a plain value. Out: a value that `json` takes, and from it an equal one. Never a pickle.
Knows nothing of: mails.

What JSON has not is written as an object of one pair, named by its kind, and nothing else is
written as an object: a dict is a kind too. What is lazy is written as what it is here and now,
since its language is the caller's.
"""

import base64
from array import array
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from email.headerregistry import Address
from typing import Any
from uuid import UUID

from django.utils.functional import LazyObject, Promise


class UnknownKindError(TypeError):
    """A value is of no known kind; its words are its type, and nothing of the value."""

    def __init__(self, value: Any) -> None:
        super().__init__(f"{type(value).__module__}.{type(value).__qualname__}")


@dataclass(frozen=True, slots=True)
class Kind:
    """What JSON has not: its types, and the way there and back."""

    types: type | tuple[type, ...]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Write a value. Raises `UnknownKindError`, or what a lazy or a broken value raises."""
    value = _bare(value)
    if value is None or issubclass(type(value), str | int | float):  # and not what says it is one
        return value
    if isinstance(value, Promise | Address):
        return str(value)
    if isinstance(value, list):
        return [encode(one) for one in value]
    for name, kind in KINDS.items():
        if isinstance(value, kind.types):
            return {name: kind.write(value)}
    raise UnknownKindError(value)


def decode(value: Any) -> Any:
    """Read what `encode` wrote."""
    if isinstance(value, list):
        return [decode(one) for one in value]
    if isinstance(value, dict):
        ((name, written),) = value.items()
        return KINDS[name].read(written)
    return value


def _bare(value: Any) -> Any:
    while issubclass(type(value), LazyObject):
        _, (value,) = value.__reduce__()  # what is pickled of it is what it stands for
    return value


def _octets(value: Any) -> str:
    return base64.b64encode(bytes(value)).decode()


def _elements(value: Any) -> list[Any]:
    return [encode(one) for one in value]


def _key(value: Any) -> Any:
    """Write a key, or an element of a set: what is read again must have a hash, too."""
    written = encode(value)
    if isinstance(written, list | dict):
        try:
            hash(decode(written))
        except TypeError:
            raise UnknownKindError(value) from None
    return written


def _keys(value: Any) -> list[Any]:
    return [_key(one) for one in value]


KINDS = {
    "dict": Kind(
        Mapping,
        lambda value: [[_key(name), encode(one)] for name, one in value.items()],
        lambda written: {decode(name): decode(one) for name, one in written},
    ),
    "bytes": Kind((bytes, bytearray, memoryview, array), _octets, base64.b64decode),
    "tuple": Kind(tuple, _elements, lambda written: tuple(map(decode, written))),
    "frozenset": Kind(frozenset, _keys, lambda written: frozenset(map(decode, written))),
    "set": Kind(AbstractSet, _keys, lambda written: set(map(decode, written))),
    "datetime": Kind(datetime, datetime.isoformat, datetime.fromisoformat),  # before the date it is
    "date": Kind(date, date.isoformat, date.fromisoformat),
    "time": Kind(time, time.isoformat, time.fromisoformat),
    "timedelta": Kind(
        timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda written: timedelta(*written),
    ),
    "Decimal": Kind(Decimal, str, Decimal),
    "UUID": Kind(UUID, str, UUID),
}
