"""What a call is given is looked at before anything is done, alike on every database.

In: arguments. Out: the same, fit to be written down. What a programmer chooses (purpose, owner,
context, client) and chose wrongly is a ``TypeError`` or ``ValueError`` that says what to pass; what
a person sends (a challenge's id) is never an exception.
Knows nothing of: rows, and what an argument is for.

A database would refuse some of it (NUL, on PostgreSQL), cut some off and take the rest, each
another part; and its error's words would quote the row.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from otpmail.addresses.requester import NOBODY, Client
from otpmail.display import one_line

PURPOSE_LENGTH = 50
OWNER_LENGTH = 100
CONTEXT_LENGTH = 10_000
"""Characters of all names and values of a context, or of facts: a mail shows each, and is small."""

FACT_NAME_LENGTH = 255

NUMBER_BITS = 1024
"""Of a fact: no amount or id comes near, and Python writes none of many thousand digits."""


def check(*, purpose: str, owner: str, client: Client = NOBODY) -> None:
    """Look at what each call is given: what for, whose, and who asks."""
    if purpose is None:
        raise TypeError(_told("purpose", "a str", purpose))
    check_all(purpose=purpose, owner=owner, client=client)


def check_all(*, purpose: str | None, owner: str, client: Client = NOBODY) -> None:
    """Look at what a call is given that may be for every purpose."""
    if purpose is not None:
        text("purpose", purpose, PURPOSE_LENGTH)
    text("owner", owner, OWNER_LENGTH)
    if not isinstance(client, Client):
        raise TypeError(_told("client", "an otpmail.challenges.Client", client))
    text("Client.credential", client.credential, least=0)
    text("Client.device", client.device, least=0)


def text(name: str, value: object, most: int | None = None, *, least: int = 1) -> str:
    """Look at a text that is written down as it is."""
    if not isinstance(value, str):
        raise TypeError(_told(name, "a str", value))
    if len(value) < least or (most is not None and len(value) > most):
        room = (
            f"{least} to {most} characters" if most is not None else f"{least} or more characters"
        )
        raise ValueError(f"{name} has {room}, not {len(value)}")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{name} holds a NUL or half a character, which no database keeps")
    return value


def flag(name: str, value: object) -> bool:
    """Look at a yes or no: another value may mean the contrary of what it looks like."""
    if not isinstance(value, bool):
        raise TypeError(_told(name, "True or False", value))
    return value


def many[T](name: str, values: object, kind: type[T]) -> Sequence[T]:
    """Look at a list of what is of one type: at least one."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(_told(name, f"a list of {kind.__name__}", values))
    for position, value in enumerate(values):
        if not isinstance(value, kind):
            raise TypeError(_told(f"{name}[{position}]", f"a {kind.__name__}", value))
    if not values:
        raise ValueError(f"{name} names nobody")
    return values


def function(name: str, value: object) -> None:
    """Look at what is to be called."""
    if not callable(value):
        raise TypeError(_told(name, "a function", value))


def moment(name: str, value: object) -> datetime:
    """Look at a point in time, which a time without its zone is none."""
    if not isinstance(value, datetime):
        raise TypeError(_told(name, "a datetime", value))
    if value.utcoffset() is None:
        raise ValueError(f"{name} is a datetime with a time zone, not a naive one")
    return value


def facts(given: object) -> None:
    """Look at what a code is to stand for, before it is written as bytes."""
    if not isinstance(given, Mapping):
        raise TypeError(_told("facts", "a mapping of names to texts and whole numbers", given))
    for name, value in given.items():
        if not text("a name in facts", name, FACT_NAME_LENGTH).isascii():
            raise ValueError("a name in facts is ASCII")
        if isinstance(value, str):
            text(f"facts[{name!r}]", value, CONTEXT_LENGTH, least=0)
        elif not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(_told(f"facts[{name!r}]", "a str or an int", value))
        elif value.bit_length() > NUMBER_BITS:
            raise ValueError(f"facts[{name!r}] has {NUMBER_BITS} bits at most")
    _check_size("facts", given)


def context(given: object) -> dict[str, str]:
    """Make one line of plain text of each value, by whomever it was written."""
    if not isinstance(given, Mapping):
        raise TypeError(_told("context", "a mapping of names to texts", given))
    made = {text("a name in context", name): _line(name, given[name]) for name in given}
    _check_size("context", made)
    return made


def challenge_id(given: object) -> UUID | None:
    """Read an id that came back from outside, by a form or a session; None if it is none."""
    if isinstance(given, UUID):
        return given
    try:
        return UUID(given) if isinstance(given, str) else None
    except ValueError:
        return None


def _check_size(what: str, given: Mapping[str, object]) -> None:
    size = sum(len(name) + len(str(value)) for name, value in given.items())
    if size > CONTEXT_LENGTH:
        raise ValueError(f"{what} has {CONTEXT_LENGTH} characters at most, not {size}")


def _line(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(_told(f"context[{name!r}]", "a str", value))
    return one_line.one_line(value)


def _told(name: str, wanted: str, value: object) -> str:
    return f"{name} is {wanted}, not {type(value).__name__}"  # a value may be somebody's address
