"""LISTEN and NOTIFY of PostgreSQL, which wake workers on other hosts, under psycopg 3.

In: ids of committed deliveries. Out: the same ids, in every process that listens. Each queue has a
channel of its own.
Knows nothing of: engines, what is done with an id.

A NOTIFY can be lost, so behind it stands the sweep. It is sent after the commit and not in it: a
transaction that notifies holds a lock of the whole server while it is flushed to disk.

Silence says nothing: a connection that a firewall forgot is silent, and so is one through a pooler
that gives each transaction another server's session. So a listener notifies itself now and
then, on a channel of its own and over another connection, and one that misses that is deaf.
"""

import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connections

from otpmail.db import database
from otpmail.models import Queue

CHANNELS = {f"otpmail_{queue.value}": queue for queue in Queue}
NOTIFY = "SELECT pg_notify(%s, id) FROM unnest(%s::text[]) AS id"

ECHO_SECONDS = 1.0
"""How often a listener notifies itself, which also keeps its connection from being forgotten."""

DEAF_SECONDS = 1.0
"""How long it may take to receive that."""

POOLED_SECONDS = 5.0
"""How often one notifies itself that is deaf on a new connection too: a pooler stays."""

MOST_RECEIVED = 1000
"""Ids given on at a time; the sweep finds the others."""

log = logging.getLogger("otpmail.worker")


def is_available() -> bool:
    """Tell whether this project's database has LISTEN and NOTIFY, and a driver that knows them."""
    connection = connections[database.alias()]
    if connection.vendor != "postgresql":
        return False
    from django.db.backends.postgresql.psycopg_any import is_psycopg3  # needs a driver

    return bool(is_psycopg3)


def notify(delivery_ids: Iterable[UUID], queue: Queue) -> None:
    """Tell every listener. Raises what Django raises for a fault of the database."""
    _notify(f"otpmail_{queue.value}", [str(pk) for pk in delivery_ids])


class Listener:
    """Listens on the database connection of the thread that calls `wait`."""

    def __init__(self) -> None:
        self._own_channel = f"otpmail_echo_{secrets.token_hex(8)}"
        self._listens_on: Any = None
        self._notified_at: float | None = None
        self._notify_at = 0.0
        self.is_deaf = False
        self.connections = 0
        """On how many it has listened so far: what was sent between two of them is lost."""

    def wait(self, seconds: float) -> Mapping[Queue, list[UUID]]:
        """Wait for a NOTIFY and take all that came; an empty answer if none did in time.

        Raises what Django raises for a fault of the database, and connects anew the next time.
        """
        try:
            received = self._receive(seconds)
        except BaseException:
            self._notify_at = 0.0
            self._leave()
            raise
        if any(channel == self._own_channel for channel, _ in received):
            self._confirm()
        elif self._notified_at is not None and time.monotonic() - self._notified_at > DEAF_SECONDS:
            self._is_deaf()
        return _ids(received)

    def notify_itself(self) -> None:
        """Notify itself, from a thread that does not listen, unless it waits for that already.

        Raises what Django raises for a fault of the database.
        """
        now = time.monotonic()
        if self._listens_on is not None and self._notified_at is None and now >= self._notify_at:
            self._notified_at = now  # before it is sent, for it may arrive at once
            try:
                _notify(self._own_channel, [""])
            except BaseException:
                self._notified_at = None
                raise

    def _receive(self, seconds: float) -> list[tuple[str, str]]:
        """Give the channel and the payload of each NOTIFY."""
        connection = connections[database.alias()]
        connection.ensure_connection()
        raw: Any = connection.connection
        with connection.wrap_database_errors:  # these are calls of the driver's own
            if raw is not self._listens_on:  # the first time, or the connection was lost
                for channel in (*CHANNELS, self._own_channel):
                    raw.execute(f"LISTEN {channel}")
                self._listens_on, self._notified_at = raw, None
                self.connections += 1
            first = list(raw.notifies(timeout=seconds, stop_after=1))
            return [
                (notice.channel, notice.payload) for notice in [*first, *raw.notifies(timeout=0)]
            ]

    def _confirm(self) -> None:
        self._notified_at = None
        if self.is_deaf:
            log.info("Email worker hears NOTIFY again")
        self.is_deaf = False

    def _is_deaf(self) -> None:
        if not self.is_deaf:
            log.warning(
                "Email worker does not hear NOTIFY, connects anew and looks more often: "
                "does a pooler in transaction mode, or a firewall, stand before PostgreSQL?"
            )
        # What may have been a lost connection is tried at once, a pooler now and then.
        self._notify_at = time.monotonic() + POOLED_SECONDS if self.is_deaf else 0.0
        self.is_deaf = True
        self._leave()

    def _leave(self) -> None:
        self._listens_on = self._notified_at = None
        connections[database.alias()].close()


def _ids(received: Iterable[tuple[str, str]]) -> dict[Queue, list[UUID]]:
    """Sort what came by queue; what is no id of a delivery is passed over."""
    ids: defaultdict[Queue, dict[UUID, None]] = defaultdict(dict)
    for channel, payload in received:
        queue = CHANNELS.get(channel)
        if queue is not None and (delivery_id := _id(payload)) is not None:
            ids[queue][delivery_id] = None
    return {queue: list(notice)[-MOST_RECEIVED:] for queue, notice in ids.items()}


def _id(payload: str) -> UUID | None:
    try:
        return UUID(payload)
    except ValueError:  # anybody who may connect may notify
        return None


def _notify(channel: str, payloads: list[str]) -> None:
    with connections[database.alias()].cursor() as cursor:
        cursor.execute(NOTIFY, [channel, payloads])
