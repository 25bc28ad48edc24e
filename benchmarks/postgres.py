"""A PostgreSQL server of a benchmark's own, which may die: the shared one is not touched.

In: the server's programs on this machine. Out: a URL, good until the block ends.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg.rows import dict_row

from benchmarks.databases import TEMPLATE, Database, Row
from tests.mailserver import free_port

USER = "postgres"
OTHERS = "datname = %s AND pid <> pg_backend_pid()"


class Server(Database):
    """One cluster in a directory of its own."""

    kind: ClassVar[str] = "postgres"

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._programs = programs()
        self._home = home / "data"
        self._log = home / "log"
        self.port = free_port()
        self._run("initdb", "-A", "trust", "-U", USER, "-D", str(self._home))

    def url(self, name: str = USER) -> str:
        """Name a database."""
        return f"postgres://{USER}@127.0.0.1:{self.port}/{name}"

    def create(self, name: str) -> None:
        """Make an empty one."""
        self.execute(USER, f"CREATE DATABASE {name}")

    def copy(self, name: str) -> None:
        """Make a copy of the template."""
        self.execute(USER, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")

    def drop(self, name: str) -> None:
        """Remove one, whoever is connected."""
        self.execute(USER, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def rows(self, name: str, query: str) -> list[Row]:
        """Read, over a connection of its own."""
        with psycopg.connect(self.url(name), row_factory=dict_row) as connection:
            return list(connection.execute(query.encode()))

    def execute(self, name: str, statement: str, *values: Any) -> None:
        """Write, over a connection of its own, with a superuser's rights."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def cut(self, name: str) -> int:
        """End all sessions of a database. Returns how many."""
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            return len(connection.execute(query.encode(), [name]).fetchall())

    @contextlib.contextmanager
    def unwritable(self, name: str) -> Iterator[None]:
        """Refuse all writes, and cut the sessions that stand."""
        with self._set(name, "default_transaction_read_only", "on"):
            yield
        self.cut(name)

    @contextlib.contextmanager
    def stalled(self, name: str) -> Iterator[None]:  # noqa: ARG002 - it is the whole server
        """Answer nothing: all its processes are stopped, and go on when the block ends."""
        stopped = [self._postmaster(), *_children(self._postmaster())]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(stopped):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def idle_limit(self, name: str, seconds: int) -> Iterator[None]:
        """End each session that idles so long."""
        with self._set(name, "idle_session_timeout", f"{seconds}s"):
            yield

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self._home} -c listen_addresses=127.0.0.1"
        self._run(
            "pg_ctl", "start", "-w", "-D", str(self._home), "-l", str(self._log), "-o", options
        )

    def restart(self) -> None:
        """End all sessions and start anew, as an upgrade does."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._home))
        self.start()

    def crash(self) -> None:
        """Stop it at once: sessions are cut, and what was not committed is gone."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._home))

    @contextlib.contextmanager
    def _set(self, name: str, parameter: str, value: str) -> Iterator[None]:
        """Set it for one database, and cut the sessions that were begun without it."""
        self.execute(USER, f"ALTER DATABASE {name} SET {parameter} = '{value}'")
        self.cut(name)
        try:
            yield
        finally:
            self.execute(USER, f"ALTER DATABASE {name} RESET {parameter}")

    def _postmaster(self) -> int:
        return int((self._home / "postmaster.pid").read_text().split()[0])

    def _run(self, program: str, *arguments: str) -> None:
        # It refuses to run as root.
        as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        command = [*as_user, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)


def programs() -> Path:
    """Find the server's programs."""
    command = ["pg_config", "--bindir"]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def is_there() -> bool:
    """Tell whether this machine has them: a client's packages bring pg_config alone."""
    return shutil.which("pg_config") is not None and (programs() / "initdb").exists()


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run one until the block ends."""
    home = Path(tempfile.mkdtemp(prefix="otpmail-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, USER)
        server = Server(home)
        server.start()
        try:
            yield server
        finally:
            server.crash()
    finally:
        shutil.rmtree(home)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
