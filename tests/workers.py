"""A real worker process on the database of the tests."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection

ROOT = Path(__file__).parents[1]

type Popen = subprocess.Popen[bytes]


def database_url() -> str:
    """Name the test database as the kiosk's environment does."""
    named: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{named['NAME']}"
    scheme = {"postgresql": "postgres", "mysql": "mysql"}[connection.vendor]
    return f"{scheme}://{named['USER']}@{named['HOST']}:{named['PORT']}/{named['NAME']}"


@contextlib.contextmanager
def worker(smtp_port: int, alive: Path, **environment: str) -> Iterator[Popen]:
    """Run one until the block ends; it has swept once when the block begins."""
    process = start(smtp_port, alive, **environment)
    try:
        _wait_for(alive, process)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        process.kill()
        process.wait()


def start(smtp_port: int, alive: Path, **environment: str) -> Popen:
    """Start one, and wait for nothing."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "otpmail_worker", "--alive", str(alive)],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
            "DATABASE_URL": database_url(),
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(smtp_port),
        }
        | environment,
    )


def _wait_for(alive: Path, process: Popen) -> None:
    until = time.monotonic() + 120
    while not alive.exists():
        assert process.poll() is None, "the worker ended"
        assert time.monotonic() < until, "the worker never swept"
        time.sleep(0.02)
