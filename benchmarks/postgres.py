"""A PostgreSQL server of a benchmark's own, which may die: the shared one is not touched.

In: the server's programs on this machine. Out: a URL, good until the block ends.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.mailserver import free_port

USER = "postgres"


class Server:
    """One cluster in a directory of its own."""

    def __init__(self, home: Path) -> None:
        self._programs = programs()
        self._home = home / "data"
        self._log = home / "log"
        self.port = free_port()
        self._run("initdb", "-A", "trust", "-U", USER, "-D", str(self._home))

    @property
    def url(self) -> str:
        """Name its database."""
        return f"postgres://{USER}@127.0.0.1:{self.port}/{USER}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self._home} -c listen_addresses=127.0.0.1"
        self._run(
            "pg_ctl", "start", "-w", "-D", str(self._home), "-l", str(self._log), "-o", options
        )

    def crash(self) -> None:
        """Stop it at once: sessions are cut, and what was not committed is gone."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._home))

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
