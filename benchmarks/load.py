"""Members who ask for transfers over HTTP at a steady rate, and once more if nobody answers.

In: where the kiosk is, their tokens. Out: what each request was answered, and when.
"""

import contextlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from demo.machine import HOST

CLIENTS = 64
TIMEOUT_SECONDS = 10
AGAIN_SECONDS = 1
ASKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. ``status`` is None if no answer came.

    ``database_ms`` is what the answer's ``Server-Timing`` tells of the database.
    """

    key: str
    begun_at: float
    took_ms: float
    status: int | None
    transfer: str = ""
    database_ms: float = 0

    @property
    def is_promised(self) -> bool:
        """Whether the kiosk said that a mail is under way."""
        return self.status == 201


class Load:
    """Asks for so many transfers; ``asked`` is what came of it so far."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self._url = f"http://{HOST}:{port}/api/v1/transfers"
        self._tokens = tokens
        self._name = secrets.token_hex(4)
        self.asked: list[Asked] = []

    def run(self, requests: int, rate: float, clients: int = CLIENTS) -> None:
        """Begin so many requests, so many a second, and wait for the last answer."""
        start = time.monotonic()
        with httpx.Client(timeout=TIMEOUT_SECONDS) as http, ThreadPoolExecutor(clients) as pool:
            for number in range(requests):
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
                pool.submit(self._insist, http, number)

    def _insist(self, http: httpx.Client, number: int) -> None:
        for again in range(ASKS):
            time.sleep(again * AGAIN_SECONDS)
            asked = self.ask(http, number)
            self.asked.append(asked)
            if asked.status is not None and asked.status < 500:
                return

    def ask(self, http: httpx.Client, number: int) -> Asked:
        """Ask once for the transfer of that number."""
        payer = number % len(self._tokens)
        body = {
            "payer_account": f"A{payer}",
            "payee_account": f"A{(payer + 1) % len(self._tokens)}",
            "amount_minor": 12_50,
            "currency": "EUR",
        }
        key = f"{self._name}-{number}"
        headers = {"Authorization": f"Bearer {self._tokens[payer]}", "Idempotency-Key": key}
        answer, begun_at, begun = None, time.time(), time.perf_counter()
        with contextlib.suppress(httpx.TransportError):
            answer = http.post(self._url, json=body, headers=headers)
        return Asked(
            key=key,
            begun_at=begun_at,
            took_ms=(time.perf_counter() - begun) * 1000,
            status=None if answer is None else answer.status_code,
            transfer=_id_in(answer),
            database_ms=_database_ms_in(answer),
        )


def _id_in(answer: httpx.Response | None) -> str:
    body: Any = answer.json() if answer is not None and answer.is_success else {}
    return str(body.get("id", ""))


def _database_ms_in(answer: httpx.Response | None) -> float:
    told = "" if answer is None else answer.headers.get("Server-Timing", "")
    return float(told.removeprefix("db;dur=") or 0)
