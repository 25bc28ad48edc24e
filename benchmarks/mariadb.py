"""A MariaDB server of a benchmark's own, which may die: the shared one is not touched.

In: the server's programs on this machine, and the driver that ``make test`` compiled. Out: a URL.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.databases import TEMPLATE, Database, Row
from demo.machine import HOST, ROOT
from tests.mailserver import free_port

DRIVER = ROOT / ".venv" / "mariadb"
START_SECONDS = 30
USER = "site"
"""Not root, whose writes go through where all others' are refused."""


class Server(Database):
    """One server in a directory of its own."""

    kind: ClassVar[str] = "mariadb"
    python_path: ClassVar[str] = str(DRIVER)

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._data = home / "data"
        self._socket = home / "socket"
        self._log = home / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={self._data}", *as_root]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, capture_output=True)

    def url(self, name: str) -> str:
        """Name a database."""
        return f"mysql://{USER}@{HOST}:{self.port}/{name}"

    def create(self, name: str) -> None:
        """Make an empty one."""
        self.execute("", f"CREATE DATABASE {name}")
        self.execute("", f"GRANT ALL ON {name}.* TO '{USER}'@'%'")

    def copy(self, name: str) -> None:
        """Make a copy of the template."""
        self.create(name)
        at = [f"--socket={self._socket}", "--user=root"]
        dump = ["mariadb-dump", "--no-defaults", *at, "--single-transaction", TEMPLATE]
        with subprocess.Popen(dump, stdout=subprocess.PIPE) as dumped:
            load = ["mariadb", "--no-defaults", *at, name]
            subprocess.run(load, stdin=dumped.stdout, check=True)

    def drop(self, name: str) -> None:
        """Remove one, whoever is connected."""
        self.cut(name)
        self.execute("", f"DROP DATABASE IF EXISTS {name}")

    def rows(self, name: str, query: str) -> list[Row]:
        """Read, over a connection of its own."""
        with self._connection(name) as cursor:
            cursor.execute(query)
            columns = [column[0] for column in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, name: str, statement: str) -> None:
        """Write, over a connection of its own, with a superuser's rights."""
        with self._connection(name) as cursor:
            cursor.execute(statement)

    def cut(self, name: str) -> int:
        """End all sessions of a database. Returns how many."""
        query = f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"
        others = [row["id"] for row in self.rows("", query)]
        for session in others:
            with contextlib.suppress(Exception):  # it has gone by itself
                self.execute("", f"KILL {session}")
        return len(others)

    @contextlib.contextmanager
    def unwritable(self, name: str) -> Iterator[None]:
        """Refuse all writes, and cut the sessions that stand."""
        with self._set(name, "read_only", 1, 0):
            yield

    @contextlib.contextmanager
    def stalled(self, name: str) -> Iterator[None]:
        """Let each commit wait, as a backup's lock does."""
        with self._connection(name) as cursor:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
            yield

    @contextlib.contextmanager
    def idle_limit(self, name: str, seconds: int) -> Iterator[None]:
        """End each session that idles so long."""
        with self._set(name, "wait_timeout", seconds, 28_800):
            yield

    def start(self) -> None:
        """Start it, and wait until it answers."""
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        command = ["mariadbd", "--no-defaults", f"--datadir={self._data}", *as_root]
        command += [f"--socket={self._socket}", f"--port={self.port}", f"--bind-address={HOST}"]
        command += [f"--pid-file={self._data}.pid", "--skip-name-resolve", "--max-connections=300"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.05)
        self.execute("", f"CREATE USER IF NOT EXISTS '{USER}'@'%'")

    def restart(self) -> None:
        """End all sessions and start anew, as an upgrade does."""
        self._end(signal.SIGTERM)
        self.start()

    def crash(self) -> None:
        """Stop it at once: what was not committed is gone."""
        self._end(signal.SIGKILL)

    @contextlib.contextmanager
    def _set(self, name: str, variable: str, value: int, before: int) -> Iterator[None]:
        self.execute("", f"SET GLOBAL {variable} = {value}")
        self.cut(name)
        try:
            yield
        finally:
            self.execute("", f"SET GLOBAL {variable} = {before}")
            self.cut(name)

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            self.rows("", "SELECT 1")
        except _driver().Error:
            return False
        return True

    @contextlib.contextmanager
    def _connection(self, name: str) -> Iterator[Any]:
        options = {"unix_socket": str(self._socket), "user": "root", "autocommit": True}
        connection = _driver().connect(**options, **({"database": name} if name else {}))
        try:
            yield connection.cursor()
        finally:
            connection.close()


def is_there() -> bool:
    """Tell whether this machine has the server's programs and the driver."""
    return shutil.which("mariadbd") is not None and (DRIVER / "done").exists()


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run one until the block ends."""
    with tempfile.TemporaryDirectory(prefix="otpmail-mariadb-") as home:
        server = Server(Path(home))
        server.start()
        try:
            yield server
        finally:
            server.crash()


def _driver() -> Any:
    if str(DRIVER) not in sys.path:
        sys.path.append(str(DRIVER))
    import MySQLdb

    return MySQLdb
