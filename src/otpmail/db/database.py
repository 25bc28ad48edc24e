"""Which database holds otpmail's rows, and what time it is there.

A `Row` is read where it is written, related access included. A router may send the reads of a
project's own models to a replica: a row that was committed a moment ago is not there yet.

In: the project's router. Out: one alias, transactions on it, its clock.
Knows nothing of: which tables.

All hosts share the database's clock, so that a life, a lease and a deadline mean one moment
everywhere, however wrong a host's own clock is.

A connection of otpmail's own threads that the network loses silently is noticed within seconds; by
default TCP would wait for a quarter of an hour (Linux, ``tcp_retries2``).
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, Self

from django.apps import apps
from django.db import OperationalError, connections, models, router, transaction
from django.db.backends.signals import connection_created
from django.dispatch import receiver

type Clock = Callable[[], datetime]

LOST_SECONDS = 10
"""How long what was written may stay unacknowledged (RFC 5482, 2)."""

DEADLOCK = frozenset({"40P01", 1213})
"""How PostgreSQL and MariaDB say that two waited for each other. SQLite has one writer."""

THREADS = "otpmail"
"""What the names of otpmail's own threads begin with. Others' connections are the project's."""

_TCP_OPTIONS = {
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": LOST_SECONDS * 1000,
}

_CLOCKS = {"postgresql": "clock_timestamp()", "mysql": "UTC_TIMESTAMP(6)"}


class _Thread(threading.local):
    clock: Clock | None = None


_thread = _Thread()


@lru_cache
def _challenge() -> type[models.Model]:
    return apps.get_model("otpmail", "Challenge")


def alias() -> str:
    """Name the database that the outbox is written to."""
    return router.db_for_write(_challenge())


def atomic(*, savepoint: bool = True, durable: bool = False) -> transaction.Atomic:
    """Begin a transaction there, or join the caller's."""
    return transaction.atomic(using=alias(), savepoint=savepoint, durable=durable)


def roll_back() -> None:
    """Let the innermost `atomic` end with a rollback."""
    transaction.set_rollback(True, using=alias())


def on_commit(told: Callable[[], object]) -> None:
    """Call this once the caller's transaction is committed. What it raises is logged."""
    transaction.on_commit(told, using=alias(), robust=True)


def retry_if_deadlocked[T](act: Callable[[], T]) -> T:
    """Do it, and once more if the database broke a deadlock by taking back all that it had done.

    Not in the caller's transaction, of which it took back what we do not know.
    """
    try:
        return act()
    except OperationalError as error:
        if connections[alias()].in_atomic_block or not _is_deadlock(error):
            raise
    return act()


def _is_deadlock(error: OperationalError) -> bool:
    cause = error.__cause__
    codes = {getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None), *error.args[:1]}
    return not codes.isdisjoint(DEADLOCK)


def open_transactions() -> list[str]:
    """Name the aliases on which this thread has one open. That of Django's `TestCase` is none."""
    blocks = {used.alias: used.atomic_blocks for used in connections.all(initialized_only=True)}
    return [name for name, open_ in blocks.items() if open_ and not open_[-1]._from_testcase]  # type: ignore[attr-defined] # noqa: SLF001


class RowSet[M: models.Model](models.QuerySet[M]):
    """Is evaluated on the alias that its model is written to, unless the caller named another."""

    _db: str | None

    @property
    def db(self) -> str:
        """Name the alias. No hints: a related row that came from a replica leads nobody there."""
        return self._db or router.db_for_write(self.model)


class RowManager[M: models.Model](models.Manager[M]):
    """Knows the alias, so that Django's related managers need not ask the router where to read."""

    _queryset_class: type[models.QuerySet[Any]] = RowSet
    _named: str | None = None

    @property
    def _db(self) -> str:
        return self._named or router.db_for_write(self.model)

    @_db.setter
    def _db(self, named: str | None) -> None:
        self._named = named

    def get_queryset(self) -> models.QuerySet[M]:
        """Give all rows, bound to an alias only if the caller named one: they may be a subquery."""
        return self._queryset_class(self.model, using=self._named)


class Row(models.Model):
    """The base of such a model."""

    objects: ClassVar[RowManager[Self]] = RowManager()

    class Meta:
        """No table of its own. Related access asks the base manager."""

        abstract = True
        base_manager_name = "objects"


class ClockColumn(models.Func):
    """The database's time, as a column beside others; `as_time` reads it."""

    output_field = models.Field()

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override] # noqa: ARG002
        """Write it."""
        return clock_of(connection), []


def clock_of(connection: Any) -> str:
    """Say in SQL what time it is. SQLite lives in this process and has its clock."""
    return _CLOCKS.get(connection.vendor, "NULL")


def as_time(told: datetime | None) -> datetime:
    """Read what a database said of the time just now, in UTC."""
    if told is None:
        read_at = datetime.now(UTC)
    else:
        read_at = told if told.tzinfo else told.replace(tzinfo=UTC)
    _thread.clock = clock(read_at)
    return read_at


def now() -> datetime:
    """Read the database's clock."""
    connection = connections[alias()]
    if connection.vendor not in _CLOCKS:
        return as_time(None)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {clock_of(connection)}")
        return as_time(cursor.fetchone()[0])


def clock_last_read() -> Clock | None:
    """Give a clock that goes on from what this thread was told last; None if it was told nothing.

    It costs no query. It is fit for who has read the database's clock in the same call.
    """
    return _thread.clock


def clock(read_at: datetime) -> Clock:
    """Give a clock that goes on from what the database's said now, for as long as a round."""
    began = time.monotonic()
    return lambda: read_at + timedelta(seconds=time.monotonic() - began)


@receiver(connection_created)
def _notice_loss(connection: Any, **_: object) -> None:
    ours = threading.current_thread().name.startswith(THREADS)
    if not ours or not hasattr(connection.connection, "fileno"):
        return
    options = {
        getattr(socket, name): value
        for name, value in _TCP_OPTIONS.items()
        if hasattr(socket, name)  # elsewhere than on Linux, what there is
    }
    with (
        contextlib.suppress(OSError),  # a socket of another kind, which loses nothing silently
        socket.socket(fileno=os.dup(connection.connection.fileno())) as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in options.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
