"""A bell that wakes workers on other hosts: LISTEN and NOTIFY of PostgreSQL, under psycopg 3.

In: ids of committed deliveries. Out: the same ids, in every process that listens. Each lane has a
channel of its own.
Knows nothing of: engines, what is done with an id.

A ring can be lost, so behind it stands the sweep. It is sent after the commit and not in it: a
transaction that notifies holds a lock of the whole server while it is flushed to disk.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connections

from otpmail import database
from otpmail.models import Lane

CHANNELS = {f"otpmail_{lane.value}": lane for lane in Lane}
RING = "SELECT pg_notify(%s, id) FROM unnest(%s::text[]) AS id"


def is_there() -> bool:
    """Tell whether this project's database has a bell."""
    connection = connections[database.alias()]
    if connection.vendor != "postgresql":
        return False
    from django.db.backends.postgresql.psycopg_any import is_psycopg3  # needs a driver

    return bool(is_psycopg3)


def ring(delivery_ids: Iterable[UUID], lane: Lane) -> None:
    """Tell every listener. Raises what the database raises."""
    with connections[database.alias()].cursor() as cursor:
        cursor.execute(RING, [f"otpmail_{lane.value}", [str(pk) for pk in delivery_ids]])


class Listener:
    """Listens on the database connection of the thread that calls it."""

    def __init__(self) -> None:
        self._heard_on: Any = None

    def wait(self, seconds: float) -> dict[Lane, list[UUID]]:
        """Wait for a ring and take all that came. Raises what the database raises."""
        connection = connections[database.alias()]
        connection.ensure_connection()
        raw: Any = connection.connection
        if raw is not self._heard_on:  # the first time, or the connection was lost
            for channel in CHANNELS:
                raw.execute(f"LISTEN {channel}")
            self._heard_on = raw
        first = list(raw.notifies(timeout=seconds, stop_after=1))
        heard = defaultdict[Lane, list[UUID]](list)
        for rung in [*first, *raw.notifies(timeout=0)]:
            heard[CHANNELS[rung.channel]].append(UUID(rung.payload))
        return heard
