"""A database with a history: mails that were finished, and rounds that are measured beside them.

The history is copies of one mail that went the whole way, so it has whatever columns there are. A
copy has its own id (UUIDv7, in the order of time), its own times and one of many members.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import randrange
from typing import Any

from django.core.management import call_command
from django.db import connections, models

from otpmail import challenges, closing
from otpmail.db import database
from otpmail.delivery import courier, holders, leases
from otpmail.models import Attempt, Challenge, ChallengeState, Delivery, Queue

SPAN = timedelta(days=30)
MEMBERS = 100_000
A_ROUND = 10
HOLDER = holders.new()

# RFC 9562, 5.7: 48 bits of milliseconds, a version, a variant, and bits that look random.
ID = """CREATE FUNCTION pg_temp.id_of(at timestamptz, n bigint, kind text) RETURNS uuid
    LANGUAGE sql IMMUTABLE RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
    || '7' || substr(md5(kind || n), 1, 3) || '8' || substr(md5(kind || n), 4, 15))::uuid"""


def write(size: int) -> None:
    """Make the tables, and so many finished mails in them."""
    call_command("migrate", database=database.alias(), verbosity=0)
    finish_one()
    with connections[database.alias()].cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # no look at each foreign key
        cursor.execute(ID)
        copy(cursor, size, Challenge, owner="m", recipient="'member' || m || '@example.org'")
        copy(cursor, size, Delivery, challenge_id=id_of(Challenge))
        copy(cursor, size, Attempt, delivery_id=id_of(Delivery))
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


def finish_one() -> None:
    """Bring one mail the whole way, to its code being typed."""
    promise()
    for delivery_id in claim():
        courier.run([delivery_id], HOLDER)
    closing.close(Challenge.objects.get(), ChallengeState.CONFIRMED, now=database.now())


def copy(cursor: Any, size: int, model: type[models.Model], **changes: str) -> None:
    """Copy the one row of a table so many times, each copy a little later than the last."""
    table = model._meta.db_table
    columns = {
        field.column: f"t.{field.column} - age"
        if isinstance(field, models.DateTimeField)
        else f"t.{field.column}"
        for field in model._meta.concrete_fields
        if not isinstance(field, models.AutoField)
    }
    if "id" in columns:
        columns["id"] = id_of(model)
    columns |= changes
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
        f" FROM (SELECT * FROM {table}) t, (SELECT n, n % {MEMBERS} AS m,"
        f" interval '{SPAN.total_seconds()} s' * (1 - n / {size}.0) AS age,"
        f" now() - interval '{SPAN.total_seconds()} s' * (1 - n / {size}.0) AS at"
        f" FROM generate_series(1, {size}) n) AS copies"
    )


def id_of(model: type[models.Model]) -> str:
    """Write the expression for a copy's id."""
    return f"pg_temp.id_of(at, n, '{model.__name__}')"


def one_round() -> Iterator[tuple[str, float]]:
    """Do each step of a mail's way, as many times as there are mails in a round.

    Gives the milliseconds of a request, of a claim, of a courier's round, and of a sweep that finds
    as many mails again, which a dead process left.
    """
    for _ in range(A_ROUND):
        yield "request", timed(promise)[0]
    took_ms, mine = timed(claim)
    yield "claim", took_ms
    for delivery_id in mine:
        yield "round", timed(lambda delivery_id=delivery_id: courier.run([delivery_id], HOLDER))[0]
    for _ in range(A_ROUND):
        promise()
    Delivery.objects.filter(pk__in=claim()).update(leased_by="gone", leased_until=database.now())
    took_ms, mine = timed(sweep)
    yield "sweep", took_ms
    for delivery_id in mine:
        courier.run([delivery_id], HOLDER)


def promise() -> None:
    """Ask for a code, as a member among many."""
    member = randrange(MEMBERS)
    challenges.issue("sign-in", owner=str(member), recipient=f"member{member}@example.org")


def claim() -> list[Any]:
    """Take up what is due."""
    return leases.claim(HOLDER, queue=Queue.CODE, now=database.now(), limit=A_ROUND)


def sweep() -> list[Any]:
    """Do what an engine's sweep does."""
    now = database.now()
    leases.reap(now=now)
    mine = claim()
    closing.expire(now=now, seconds=0.5)
    return mine


def timed[T](act: Callable[[], T]) -> tuple[float, T]:
    """Do something. Gives its milliseconds and what came of it."""
    begun = time.perf_counter()
    result = act()
    return (time.perf_counter() - begun) * 1000, result
