"""What the demo runs on: free ports, a fresh database, two processes that end with it."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 20
STOP_SECONDS = 15
ROOT = Path(__file__).parents[1]
KIOSK = ["-m", "gunicorn", "-c", "coop_kiosk/gunicorn.conf.py"]

type Popen = subprocess.Popen[bytes]


class DemoError(Exception):
    """The demo cannot go on; its words tell a person why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything listens."""

    kiosk: int
    smtp: int
    mailbox: int

    @classmethod
    def from_environment(cls) -> "Ports":
        """Take the ports that the environment names, or the demo's own."""
        try:
            return cls(
                kiosk=int(os.environ.get("KIOSK_PORT", "8000")),
                smtp=int(os.environ.get("SMTP_PORT", "2525")),
                mailbox=int(os.environ.get("MAILBOX_PORT", "8025")),
            )
        except ValueError as error:
            raise DemoError(
                f"KIOSK_PORT, SMTP_PORT and MAILBOX_PORT are numbers: {error}"
            ) from None

    def check_free(self) -> None:
        """Refuse a port that somebody else listens on."""
        for name in ("kiosk", "smtp", "mailbox"):
            port = getattr(self, name)
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((HOST, port))
                except OSError as error:
                    raise DemoError(
                        f"Port {port} is taken ({error.strerror}). Stop what listens there, "
                        f"or name another: make demo {name.upper()}_PORT={port + 1}"
                    ) from None


def prepare(home: Path, ports: Ports, **changes: str) -> dict[str, str]:
    """Make a fresh database with two members, and give the environment that a kiosk runs in."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    made = environment(home, ports) | changes
    fill(made)
    return made


def environment(home: Path, ports: Ports) -> dict[str, str]:
    """Give the environment that a kiosk runs in, whose database is in a directory."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DATABASE_URL": f"sqlite:///{home / 'kiosk.sqlite3'}",
        "LOG_DIR": str(home / "logs"),
        "EMAIL_HOST": HOST,
        "EMAIL_PORT": str(ports.smtp),
        "BIND": f"{HOST}:{ports.kiosk}",
    }


def fill(environment: dict[str, str]) -> None:
    """Make the tables, and two members with money."""
    for command in (["migrate", "--verbosity=0"], ["demo_data"]):
        run(["manage.py", *command], environment)


@contextlib.contextmanager
def mail_server(home: Path, ports: Ports) -> Iterator[Popen]:
    """Run the mail server until the block ends."""
    command = ["-m", "demo.mailserver", str(ports.smtp), str(ports.mailbox)]
    with process(command, dict(os.environ), home / "mailserver.out", ports.smtp) as server:
        yield server


@contextlib.contextmanager
def kiosk(home: Path, ports: Ports, environment: dict[str, str]) -> Iterator[Popen]:
    """Run the kiosk on its production server until the block ends."""
    with process(KIOSK, environment, home / "kiosk.out", ports.kiosk) as server:
        yield server


def run(command: list[str], environment: dict[str, str]) -> str:
    """Run a Python command to its end, and give what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def process(
    command: list[str], environment: dict[str, str], output: Path, port: int
) -> Iterator[Popen]:
    """Run a Python command that listens on a port until the block ends."""
    started = start(command, environment, output)
    try:
        wait_for(port, started, output)
        yield started
    finally:
        end(started)


def start(command: list[str], environment: dict[str, str], output: Path) -> Popen:
    """Start a Python command in a session of its own: Ctrl-C is for the demo, which ends it."""
    with output.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def end(started: Popen) -> None:
    """End a process politely, and then all that it left."""
    started.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(timeout=STOP_SECONDS)
    kill(started)


def kill(started: Popen) -> None:
    """End a process and all its children at once, as a power cut would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def wait_for(port: int, started: Popen, output: Path) -> None:
    """Wait until something listens on a port."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and started.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise DemoError(f"Nothing listens on port {port}:\n{output.read_text()}")
