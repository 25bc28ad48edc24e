"""Rows are deleted, and one that something holds holds up no other.

In: rows. Out: how many went, and which stayed, with the reason.
Knows nothing of: why they go.

What holds a row is a project's own: a key to it that is ``PROTECT`` or ``RESTRICT``, a constraint
that Django knows nothing of, a receiver that refuses. A batch that meets one is halved until that
one is alone, so a held row costs a dozen statements and not the batch.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import Error, IntegrityError
from django.db.models import QuerySet
from django.db.models.deletion import ProtectedError, RestrictedError

from otpmail.db import database
from otpmail.exceptions.foreign import ends_process
from otpmail.outcomes.describing import describe

log = logging.getLogger("otpmail")


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row that is still there, and what holds it: models, or an error. No value of any row."""

    row: str
    held_by: str

    def __str__(self) -> str:
        return f"{self.row} stays: held by {self.held_by}"


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many went, without what went along, and what stayed."""

    count: int = 0
    stayed: tuple[KeptRow, ...] = ()

    def __add__(self, other: "Deleted") -> "Deleted":
        return Deleted(self.count + other.count, self.stayed + other.stayed)


def delete(rows: QuerySet[Any]) -> Deleted:
    """Delete what can be. Raises what Django raises when the database itself is at fault."""
    return _delete(rows, list(rows.values_list("pk", flat=True)))


def stayed(row: str, error: BaseException) -> KeptRow:
    """Tell why it stays, and log it. Raises the error again if it speaks of no row."""
    if not _speaks_of_rows(error):
        raise error
    one = KeptRow(row, _holders(error))
    log.warning("Email row: %s", one)
    return one


def _speaks_of_rows(error: BaseException) -> bool:
    """Tell whether other rows may do better: not if the database is away, or the process ends."""
    of_the_database = isinstance(error, Error) and not isinstance(error, IntegrityError)
    return not of_the_database and not ends_process(error)


def _delete(rows: QuerySet[Any], ids: list[Any]) -> Deleted:
    try:
        with database.atomic():
            _, by_model = rows.filter(pk__in=ids).delete()
    except BaseException as error:
        label = rows.model._meta.label_lower
        if len(ids) == 1:
            return Deleted(stayed=(stayed(f"{label} {ids[0]}", error),))
        if not _speaks_of_rows(error):
            raise
        half = len(ids) // 2
        return _delete(rows, ids[:half]) + _delete(rows, ids[half:])
    return Deleted(by_model.get(rows.model._meta.label, 0))


def _holders(error: BaseException) -> str:
    objects: Iterable[Any] = ()
    if isinstance(error, ProtectedError):
        objects = error.protected_objects
    elif isinstance(error, RestrictedError):
        objects = error.restricted_objects
    labels = {held._meta.label for held in objects}
    return ", ".join(sorted(labels)) or describe(error)
