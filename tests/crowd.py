"""Many at once: threads of this process, and processes with threads of their own.

As a program it is one such process: it imports, says that it is ready, waits for a word, does its
deed in so many threads at once, and tells each result in a line.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.workers import ROOT, database_url

MANY = 16
LOCK = Path(tempfile.gettempdir()) / f"otpmail-tests-crowd-{os.getuid()}"


def at_once[T](*acts: Callable[[], T]) -> list[T]:
    """Act in threads that start together, each with its own connection; give results in order."""
    from django.db import connections

    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        try:
            barrier.wait()
            return act()
        finally:
            connections.close_all()

    alone = _alone() if len(acts) > MANY else contextlib.nullcontext()
    with alone, ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for the other crowds on this machine: PostgreSQL bears a hundred connections."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def in_processes(processes: int, threads: int, deed: str, **named: Any) -> list[str]:
    """Do a deed of `DEEDS` in so many processes of so many threads; give the results' names."""
    from django.conf import settings

    command = [sys.executable, "-m", "tests.crowd", deed, str(threads), json.dumps(named)]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
        "DATABASE_URL": database_url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "OTPMAIL_ENGINE": "tests.engines.Deaf",
    }
    with _alone():
        return _in_processes(processes, command, environment)


def _in_processes(processes: int, command: list[str], environment: dict[str, str]) -> list[str]:
    pipe = subprocess.PIPE
    crowd = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        for _ in range(processes)
    ]
    try:
        for process in crowd:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in crowd:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=250)[0] for process in crowd]
    finally:
        for process in crowd:
            process.kill()
    return [line for lines in told for line in lines.splitlines()]


def _issue(owner: str, recipient: str) -> object:
    from otpmail import challenges

    return challenges.issue("sign-in", owner=owner, recipient=recipient)


def _verify(challenge_id: str, typed: str) -> object:
    from uuid import UUID

    from otpmail import challenges

    return challenges.verify("sign-in", UUID(challenge_id), typed, owner="alice")


def _take(name: str) -> object:
    from otpmail.db import database
    from otpmail.limits.counters import Allowance

    return Allowance("test", name, (10, 20)).take(database.now())


DEEDS: dict[str, Callable[..., object]] = {"issue": _issue, "verify": _verify, "take": _take}


def main() -> None:
    """Be one of the crowd."""
    import django

    django.setup()
    deed, threads, named = sys.argv[1:]
    arguments = json.loads(named)
    print("ready", flush=True)
    sys.stdin.readline()
    for result in at_once(*[lambda: DEEDS[deed](**arguments)] * int(threads)):
        print(type(result).__name__)


if __name__ == "__main__":
    main()
