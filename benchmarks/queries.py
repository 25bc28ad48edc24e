"""Ask what a call's time goes to, by table: in queries and in Python; and what quotas add to it.

One issue, one resend and one verify with the right code, of a person who was here before, in this
process: in a database on SQLite and in one on PostgreSQL. Each is done with quotas and budgets as
they are and with both lifted, in turns, so that what else the machine does falls on each alike.
The audit cannot be lifted: it is the row ``auditentry``.
"""

import argparse
import logging
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dj_database_url
import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from benchmarks import scratch
from benchmarks.growth import HERE

LIFTED = {f"OTPMAIL_{cap}": () for cap in ("RECIPIENT_QUOTA", "CLIENT_QUOTA", "LOCKOUT_FAILURES")}
IMMEDIATE = {
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
}
TABLE = re.compile(r"otpmail_(\w+)")


@dataclass(slots=True)
class Part:
    """A table's share of one call: how often it was asked, and milliseconds."""

    times: int = 0
    ms: float = 0.0
    python_ms: float = 0.0
    """Since the query before: to read its answer, and to build this one."""

    @property
    def both_ms(self) -> float:
        """Both."""
        return self.ms + self.python_ms


type Parts = dict[str, Part]

NONE = Part()


def main() -> None:
    """Measure in turns, and print a table a database."""
    options = arguments()
    calls: dict[tuple[str, str, bool], list[Parts]] = defaultdict(list)
    with ExitStack() as stack:
        configure(
            SQLite=f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/db.sqlite3",
            PostgreSQL=stack.enter_context(scratch.database(options.server)),
        )
        stack.callback(connections.close_all)
        names = [name for name in settings.DATABASES if name != "default"]
        for name in names:
            call_command("migrate", database=name, verbosity=0)
        for number in range(-5, options.rounds):  # the first ones connect and compile
            for name in names:
                for lifted in (False, True):
                    HERE.alias = name
                    with override_settings(**LIFTED if lifted else {}):
                        for step, parts in one_person(f"{number}-{lifted}"):
                            if number >= 0:
                                calls[name, step, lifted].append(parts)
    for name in names:
        show(name, {key[1:]: of_step for key, of_step in calls.items() if key[0] == name})


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--server", default=scratch.SERVER, help="a PostgreSQL server's URL")
    return parser.parse_args()


def configure(**urls: str) -> None:
    """Set Django up: otpmail alone, and workers elsewhere to send."""
    databases: dict[str, Any] = {name: dj_database_url.parse(url) for name, url in urls.items()}
    databases["SQLite"]["OPTIONS"] = IMMEDIATE
    settings.configure(
        SECRET_KEY=str(uuid4()),
        INSTALLED_APPS=["otpmail"],
        DATABASES={"default": {}} | databases,
        DATABASE_ROUTERS=[HERE],
        OTPMAIL_COOL_DOWN_SECONDS=(0,),
        OTPMAIL_ENGINE="otpmail.engines.worker.WorkerEngine",
        USE_TZ=True,
    )
    django.setup()
    logging.disable(logging.WARNING)


def one_person(who: str) -> Iterator[tuple[str, Parts]]:
    """Let somebody come for a code once, and then once more, which is measured."""
    from otpmail import challenges, testing  # Django is set up only now
    from otpmail.addresses.requester import Client

    client = Client(address=f"2001:db8:{hash(who) & 0xFFFF:x}::1", device=who)
    whose = {"owner": who, "client": client}

    def issue() -> Any:
        return challenges.issue("sign-in", recipient=f"{who}@example.org", **whose).challenge_id

    def verify(challenge: Any) -> Any:
        return challenges.verify("sign-in", challenge, testing.live_code(challenge), **whose)

    verify(issue())
    challenge, parts = timed(issue)
    yield "issue", parts
    yield "resend", timed(lambda: challenges.resend("sign-in", challenge, **whose))[1]
    code = testing.live_code(challenge)
    yield "verify", timed(lambda: challenges.verify("sign-in", challenge, code, **whose))[1]


def timed(call: Callable[[], Any]) -> tuple[Any, Parts]:
    """Call, and tell what each part took."""
    connection, parts, ended = connections[HERE.alias], defaultdict(Part), time.perf_counter()

    @contextmanager
    def clock(name: str) -> Iterator[None]:
        nonlocal ended
        began, part = time.perf_counter(), parts[name]
        part.python_ms += (began - ended) * 1000
        yield
        ended = time.perf_counter()
        part.times += 1
        part.ms += (ended - began) * 1000

    def query(execute: Any, sql: str, *arguments: Any) -> Any:
        table = TABLE.search(sql)
        with clock(table[1] if table else "no table"):
            return execute(sql, *arguments)

    def commit() -> None:
        with clock("commit"):
            type(connection).commit(connection)

    connection.commit = commit
    try:
        with connection.execute_wrapper(query):
            result = call()
        with clock("after all"):
            pass
    finally:
        del connection.commit
    return result, parts


def show(database: str, calls: dict[tuple[str, bool], list[Parts]]) -> None:
    """Print medians: of the whole, of its parts, and of each with quotas lifted."""
    print(f"{database:14}{'times':>7}{'ms':>8}{'Python':>8}{'both':>8}{'lifted':>8}{'ratio':>7}")
    for step in ("issue", "resend", "verify"):
        here, lifted = calls[step, False], calls[step, True]
        whole, without = (statistics.median(map(whole_ms, each)) for each in (here, lifted))
        print(f"{step:37}{whole:>8.2f}{without:>8.2f}{whole / without:>7.2f}")
        for name in sorted({name for parts in here for name in parts}):
            times, ms, python_ms = (
                statistics.median(getattr(parts.get(name, NONE), column) for parts in here)
                for column in ("times", "ms", "python_ms")
            )
            without = statistics.median(parts.get(name, NONE).both_ms for parts in lifted)
            both = statistics.median(parts.get(name, NONE).both_ms for parts in here)
            cells = "".join(f"{cell:>8.2f}" for cell in (ms, python_ms, both, without))
            print(f"  {name:12}{times:>7.0f}{cells}")


def whole_ms(parts: Parts) -> float:
    """Give a call's milliseconds."""
    return sum(part.both_ms for part in parts.values())


if __name__ == "__main__":
    main()
