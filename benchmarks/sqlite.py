"""SQLite files of a benchmark's own. There is no server: what can happen is that another locks."""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from benchmarks.databases import TEMPLATE, Database, Row


class Files(Database):
    """A directory of files."""

    kind: ClassVar[str] = "sqlite"

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def url(self, name: str) -> str:
        """Name a database."""
        return f"sqlite:///{self._path(name)}"

    def create(self, name: str) -> None:
        """Nothing to do: the first who connects makes the file."""

    def copy(self, name: str) -> None:
        """Make a copy of the template."""
        self.execute(TEMPLATE, "PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(self._path(TEMPLATE), self._path(name))

    def drop(self, name: str) -> None:
        """Remove one."""
        for path in self._home.glob(f"{name}.sqlite3*"):
            path.unlink()

    def rows(self, name: str, query: str) -> list[Row]:
        """Read, over a connection of its own."""
        with self._connection(name) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def execute(self, name: str, statement: str) -> None:
        """Write, over a connection of its own."""
        with self._connection(name) as connection:
            connection.execute(statement)

    @contextlib.contextmanager
    def stalled(self, name: str) -> Iterator[None]:
        """Hold the lock of the one who writes, as a copy or a long report would."""
        with self._connection(name) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    def _path(self, name: str) -> Path:
        return self._home / f"{name}.sqlite3"

    @contextlib.contextmanager
    def _connection(self, name: str) -> Iterator[sqlite3.Connection]:
        path = self._path(name)
        with contextlib.closing(
            sqlite3.connect(path, timeout=30, isolation_level=None)
        ) as connection:
            yield connection


@contextlib.contextmanager
def running() -> Iterator[Files]:
    """Keep them until the block ends."""
    with tempfile.TemporaryDirectory(prefix="otpmail-sqlite-") as home:
        yield Files(Path(home))
