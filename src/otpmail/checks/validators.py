"""Whether a value is of its setting's kind, and how to say what the kind is.

In: a value, a type and a `Rule` of ``conf``. Out: yes or no, or words.
Knows nothing of: which setting it is.
"""

import math
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

from otpmail.conf import Rule

WORDS = {str: "a text", bool: "True or False", NoneType: "None"}

UNIONS = frozenset({UnionType, Union})  # two until Python 3.14


def fits(value: object, kind: Any, rule: Rule) -> bool:
    """Tell whether a value is of a kind, and as its rule has it."""
    return (rule.may_be_empty or bool(value)) and _is_of(value, kind, rule)


def _is_of(value: object, kind: Any, rule: Rule) -> bool:
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin in UNIONS:
        return any(_is_of(value, part, rule) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin in (int, float):
        number = isinstance(value, int | origin) and not isinstance(value, bool)
        return number and rule.least <= cast("float", value) <= rule.most
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _is_of(item, part, rule)
            for pair in value.items()
            for item, part in zip(pair, parts, strict=True)
        )
    if origin is Sequence:
        items = value if isinstance(value, list | tuple) else None
        return items is not None and all(_is_of(item, parts[0], rule) for item in items)
    return kind is Any or isinstance(value, origin)


def shown(value: object) -> str:
    """Show a value that did not fit."""
    # Never a text as it stands: it may be a key.
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def told(kind: Any, rule: Rule) -> str:
    """Say what fits."""
    return _told(kind, rule) + ("" if rule.may_be_empty else ", and is not empty")


def _told(kind: Any, rule: Rule) -> str:
    to = "up" if rule.most == math.inf else f"to {rule.most}"
    span = f"from {rule.least} {to}"
    match get_origin(kind) or kind:
        case t if t in WORDS:
            return WORDS[t]
        case t if t is int:
            return f"a whole number {span}"
        case t if t is float:
            return f"a number {span}"
        case t if t in UNIONS:
            return " or ".join(_told(part, rule) for part in get_args(kind))
        case t if t is Literal:
            return " or ".join(map(repr, get_args(kind)))
        case t if t is Mapping:
            return "a mapping with values of its kind"
        case _:
            return f"a list of which each is {_told(get_args(kind)[0], rule)}"
