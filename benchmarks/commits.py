"""Ask how many commits a second the disk and the database give, for one writer and for eight.

Each commit is one small row. A code costs two of them under the threads engine, three under a
worker, and two more when it is typed.
"""

import argparse
import contextlib
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import scratch

TABLE = "CREATE TABLE promise (body text)"
ROW = "INSERT INTO promise VALUES ('an outbox row is about this long ' || random())"
WRITERS = (1, 8)

type Connect = Callable[[], Any]


def main() -> None:
    """Measure in turns, and print one row a database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="a measurement")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--server", default=scratch.SERVER, help="a PostgreSQL server's URL")
    options = parser.parse_args()
    print(f"{'commits/s':12}" + "".join(f"{f'{count} writers':>12}" for count in WRITERS))
    with on_sqlite() as sqlite, scratch.database(options.server) as url:
        databases: dict[str, Connect] = {
            "SQLite": sqlite,
            "PostgreSQL": lambda: psycopg.connect(url, autocommit=True),
        }
        for name, connect in databases.items():
            with contextlib.closing(connect()) as database:
                database.execute(TABLE)
            cells = [
                statistics.median(
                    commits_a_second(connect, writers, options.seconds)
                    for _ in range(options.turns)
                )
                for writers in WRITERS
            ]
            print(f"{name:12}" + "".join(f"{cell:>12.0f}" for cell in cells))


@contextlib.contextmanager
def on_sqlite() -> Iterator[Connect]:
    """Give a file of its own, set up as the kiosk's."""

    def connect() -> sqlite3.Connection:
        database = sqlite3.connect(Path(scratch_dir) / "db", timeout=30, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        return database

    with tempfile.TemporaryDirectory() as scratch_dir:
        yield connect


def commits_a_second(connect: Connect, writers: int, seconds: float) -> float:
    """Let so many threads commit for so long."""
    with ThreadPoolExecutor(writers) as pool:
        counts = pool.map(lambda _: commits(connect, seconds), range(writers))
        return sum(counts) / seconds


def commits(connect: Connect, seconds: float) -> int:
    """Commit one row after another."""
    count = 0
    with contextlib.closing(connect()) as database:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            database.execute(ROW)
            count += 1
    return count


if __name__ == "__main__":
    main()
