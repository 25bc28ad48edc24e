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


@contextlib.contextmanager
def running(ports: Ports, home: Path) -> Iterator[None]:
    """Run the mail server and the kiosk on a fresh database until the block ends."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    environment = os.environ | {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DATABASE_URL": f"sqlite:///{home / 'kiosk.sqlite3'}",
        "LOG_DIR": str(home / "logs"),
        "EMAIL_HOST": HOST,
        "EMAIL_PORT": str(ports.smtp),
        "BIND": f"{HOST}:{ports.kiosk}",
    }
    for command in (["migrate", "--verbosity=0"], ["demo_data"]):
        _run([sys.executable, "manage.py", *command], environment)
    mailbox = [sys.executable, "-m", "demo.mailserver", str(ports.smtp), str(ports.mailbox)]
    kiosk = [sys.executable, "-m", "gunicorn", "-c", "coop_kiosk/gunicorn.conf.py"]
    with _process(mailbox, environment, home / "mailserver.out"):
        _wait_for(ports.smtp, home / "mailserver.out")
        with _process(kiosk, environment, home / "kiosk.out"):
            _wait_for(ports.kiosk, home / "kiosk.out")
            yield


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    print(done.stdout, end="")


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], output: Path) -> Iterator[None]:
    with output.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            process.kill()


def _wait_for(port: int, output: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise DemoError(
        f"Nothing listens on port {port} after {START_SECONDS} s:\n{output.read_text()}"
    )
