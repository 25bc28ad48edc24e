"""Which database holds the outbox, and what time it is there.

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
from typing import Any

from django.db import connections, router
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from otpmail.models import Challenge

type Clock = Callable[[], datetime]

LOST_SECONDS = 10
"""How long what was written may stay unacknowledged (RFC 5482, 2)."""

THREADS = "otpmail"
"""What the names of otpmail's own threads begin with. Others' connections are the project's."""

_TCP_OPTIONS = {
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": LOST_SECONDS * 1000,
}

_CLOCKS = {"postgresql": "SELECT clock_timestamp()", "mysql": "SELECT UTC_TIMESTAMP(6)"}


def alias() -> str:
    """Name the database that the outbox is written to."""
    return router.db_for_write(Challenge)


def now() -> datetime:
    """Read the database's clock, in UTC. SQLite lives in this process and has its clock."""
    connection = connections[alias()]
    query = _CLOCKS.get(connection.vendor)
    if query is None:
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(query)
        moment: datetime = cursor.fetchone()[0]
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def clock() -> Clock:
    """Read the database's clock once. Gives one that goes on from there, for as long as a round."""
    read_at, began = now(), time.monotonic()
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
