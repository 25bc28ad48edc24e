"""A kiosk on its production server, with a database of its own, that a test may kill."""

import contextlib
import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from demo import machine
from demo.machine import HOST, Popen, Ports
from tests.mailserver import free_port

machine.START_SECONDS = 120  # nobody looks on: a slow machine is no fault

_scratch = tempfile.TemporaryDirectory(prefix="otpmail-site-")  # gone when the run ends

NO_CAPS = {
    "OTPMAIL_OPEN_CHALLENGES": "100000",
    "OTPMAIL_RECIPIENT_QUOTA": "",
    "OTPMAIL_CLIENT_QUOTA": "",
}
"""Tests and benchmarks ask for more than people do."""


class Site:
    """One installation: it outlives its processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = Ports(kiosk=free_port(), smtp=free_port(), mailbox=0)
        self.environment = machine.environment(home, self.ports) | NO_CAPS
        self.database = home / "kiosk.sqlite3"
        home.mkdir(parents=True)
        shutil.copy(_filled_database(), self.database)
        self.phones: list[Phone] = []
        self.log = home / "logs" / "django.log"

    @contextlib.contextmanager
    def up(self) -> Iterator[Popen]:
        """Run the kiosk until the block ends."""
        with machine.kiosk(self.home, self.ports, self.environment) as process:
            yield process
            for phone in self.phones:
                phone.http.close()

    def kill(self, process: Popen) -> None:
        """End all its processes at once, as a power cut would."""
        machine.kill(process)

    def alice(self) -> "Phone":
        """Sign Alice in."""
        self.phones.append(Phone(self.ports.kiosk, "1001", "2468"))
        return self.phones[-1]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database from outside."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as connection:
            return connection.execute(query).fetchall()

    def states(self) -> list[str]:
        """Tell the state of each delivery."""
        return [state for (state,) in self.rows("SELECT state FROM otpmail_delivery ORDER BY id")]


@functools.cache
def _filled_database() -> Path:
    """Make a database as a new installation has it: once a process, for it takes seconds."""
    home = Path(_scratch.name)
    machine.fill(machine.environment(home, Ports(kiosk=0, smtp=0, mailbox=0)))
    return home / "kiosk.sqlite3"


class Phone:
    """What a member's app does."""

    def __init__(self, port: int, number: str, pin: str) -> None:
        self.http = httpx.Client(base_url=f"http://{HOST}:{port}/api/v1", timeout=20)
        answer = self.http.post("/sign-in", json={"member_number": number, "pin": pin})
        self.http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self.asked = 0

    def ask(self, **changes: Any) -> httpx.Response:
        """Ask for a transfer to Bob."""
        self.asked += 1
        body = {
            "payer_account": "10-0001",
            "payee_account": "10-0002",
            "amount_minor": 12_50,
            "currency": "EUR",
        } | changes
        key = f"{id(self)}-{self.asked}"
        return self.http.post("/transfers", json=body, headers={"Idempotency-Key": key})

    def type(self, transfer_id: str, code: str) -> httpx.Response:
        """Type a code."""
        return self.http.post(f"/transfers/{transfer_id}/confirm", json={"code": code})

    def look(self, transfer_id: str) -> Any:
        """Look how far a transfer has come."""
        return self.http.get(f"/transfers/{transfer_id}").json()

    def balance(self) -> int:
        """Tell the balance in minor units."""
        balance: int = self.http.get("/accounts").json()[0]["balance_minor"]
        return balance
