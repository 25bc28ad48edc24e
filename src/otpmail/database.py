"""Which database holds the outbox, and what time it is there.

All hosts share the database's clock, so that a life, a lease and a deadline mean one moment
everywhere, however wrong a host's own clock is.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import connections, router

from otpmail.models import Challenge

type Clock = Callable[[], datetime]

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
