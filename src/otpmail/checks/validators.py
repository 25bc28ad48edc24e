"""Whether a value is of its setting's kind, and how to say what the kind is.

In: a value, an annotation of ``conf.Settings``, the least and the greatest of a number. Out: yes or
no, or words. Knows nothing of: which setting it is.
"""

import math
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

WORDS = {str: "a text", bool: "True or False", NoneType: "None"}

UNIONS = frozenset({UnionType, Union})  # two until Python 3.14


def fits(value: object, kind: Any, least: float, most: float) -> bool:
    """Tell whether a value is of a kind, its numbers in their bounds."""
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin in UNIONS:
        return any(fits(value, part, least, most) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin in (int, float):
        number = isinstance(value, int | origin) and not isinstance(value, bool)
        return number and least <= cast("float", value) <= most
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            fits(item, part, least, most)
            for pair in value.items()
            for item, part in zip(pair, parts, strict=True)
        )
    if origin is Sequence:
        items = value if isinstance(value, list | tuple) else None
        return items is not None and all(fits(item, parts[0], least, most) for item in items)
    return kind is Any or isinstance(value, origin)


def shown(value: object) -> str:
    """Show a value that did not fit."""
    # Never a text as it stands: it may be a key.
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def told(kind: Any, least: float, most: float) -> str:
    """Say what fits."""
    span = f"from {least} up" if most == math.inf else f"from {least} to {most}"
    match get_origin(kind) or kind:
        case t if t in WORDS:
            return WORDS[t]
        case t if t is int:
            return f"a whole number {span}"
        case t if t is float:
            return f"a number {span}"
        case t if t in UNIONS:
            return " or ".join(told(part, least, most) for part in get_args(kind))
        case t if t is Literal:
            return " or ".join(map(repr, get_args(kind)))
        case t if t is Mapping:
            return "a mapping with values of its kind"
        case _:
            return f"a list of which each is {told(get_args(kind)[0], least, most)}"
