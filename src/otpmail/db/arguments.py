"""What a call is given is looked at before anything is done, alike on every database.

In: arguments. Out: the same, fit to be written down. What a programmer chooses (purpose, subject,
context, client) and chose wrongly is a ``TypeError`` or ``ValueError`` that says what to pass; what
a person sends (a challenge's id) is never an exception.
Knows nothing of: rows, and what an argument is for.

A database would refuse some of it (NUL, on PostgreSQL), cut some off and take the rest, each
another part; and its error's words would quote the row.
"""

from collections.abc import Mapping
from uuid import UUID

from otpmail.addresses.requester import NOBODY, Client
from otpmail.display import one_line

PURPOSE_LENGTH = 50
SUBJECT_LENGTH = 100
CONTEXT_LENGTH = 10_000
"""Characters of all names and values of a context: a mail shows each, and stays small."""


def check(*, purpose: str, subject: str, client: Client = NOBODY) -> None:
    """Look at what each call is given: what for, whose, and who asks."""
    if purpose is None:
        raise TypeError(_told("purpose", "a str", purpose))
    check_all(purpose=purpose, subject=subject, client=client)


def check_all(*, purpose: str | None, subject: str, client: Client = NOBODY) -> None:
    """Look at what a call is given that may be for every purpose."""
    if purpose is not None:
        text("purpose", purpose, PURPOSE_LENGTH)
    text("subject", subject, SUBJECT_LENGTH)
    if not isinstance(client, Client):
        raise TypeError(_told("client", "an otpmail.addresses.requester.Client", client))
    text("Client.credential", client.credential, least=0)
    text("Client.device", client.device, least=0)


def text(name: str, value: object, most: int | None = None, *, least: int = 1) -> str:
    """Look at a text that is written down as it is."""
    if not isinstance(value, str):
        raise TypeError(_told(name, "a str", value))
    if len(value) < least or (most is not None and len(value) > most):
        raise ValueError(f"{name} has {least} to {most} characters, not {len(value)}")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{name} holds a NUL or half a character, which no database keeps")
    return value


def flag(name: str, value: object) -> bool:
    """Look at a yes or no: another value may mean the contrary of what it looks like."""
    if not isinstance(value, bool):
        raise TypeError(_told(name, "True or False", value))
    return value


def context(given: object) -> dict[str, str]:
    """Make one line of plain text of each value, by whomever it was written."""
    if not isinstance(given, Mapping):
        raise TypeError(_told("context", "a mapping of names to texts", given))
    made = {text("a name in context", name): _line(name, given[name]) for name in given}
    size = sum(len(name) + len(line) for name, line in made.items())
    if size > CONTEXT_LENGTH:
        raise ValueError(f"context has {CONTEXT_LENGTH} characters at most, not {size}")
    return made


def challenge_id(given: object) -> UUID | None:
    """Read an id that came back from outside, by a form or a session; None if it is none."""
    if isinstance(given, UUID):
        return given
    try:
        return UUID(given) if isinstance(given, str) else None
    except ValueError:
        return None


def _line(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(_told(f"context[{name!r}]", "a str", value))
    return one_line.one_line(value)


def _told(name: str, wanted: str, value: object) -> str:
    return f"{name} is {wanted}, not {type(value).__name__}"  # a value may be somebody's address
