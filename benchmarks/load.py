"""Members who ask for transfers over HTTP at a steady rate, and once more if nobody answers.

In: where the kiosks are, their tokens. Out: what each request was answered, and when.
"""

import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
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

    ``transfer`` is its id, or the Message-ID of other mail. ``database_ms`` is what the answer's
    ``Server-Timing`` tells of the database.
    """

    key: str
    begun_at: float
    took_ms: float
    status: int | None
    transfer: str = ""
    database_ms: float = 0

    @property
    def is_enqueued(self) -> bool:
        """Whether the kiosk said that a mail is under way."""
        return self.status == 201

    @property
    def has_failed(self) -> bool:
        """Whether no answer came, or one that blames the kiosk."""
        return self.status is None or self.status >= 500


class Load:
    """Asks for so many transfers; ``asked`` is what came of it so far.

    ``others`` are more ports of the same kiosk, asked in turns. While it ``rests`` it begins no
    request. One in ``mail_every`` is for other mail.
    """

    def __init__(
        self, port: int, tokens: list[str], *, others: Sequence[int] = (), mail_every: int = 0
    ) -> None:
        self._ports = [port, *others]
        self._tokens = tokens
        self._mail_every = mail_every
        self._name = secrets.token_hex(4)
        self.asked: list[Asked] = []
        self.rests = False

    def run(self, requests: int, rate: float, clients: int = CLIENTS) -> None:
        """Begin so many requests, so many a second, and wait for the last answer."""
        self._run(range(requests), rate, clients, threading.Event())

    @contextlib.contextmanager
    def steady(self, rate: float) -> Iterator[None]:
        """Begin so many requests a second until the block ends, and wait for the last answer."""
        ending = threading.Event()
        arguments = (itertools.count(), rate, CLIENTS, ending)
        thread = threading.Thread(target=self._run, args=arguments, name="load")
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def _run(
        self, numbers: Iterator[int] | range, rate: float, clients: int, ending: threading.Event
    ) -> None:
        start = time.monotonic()
        with httpx.Client(timeout=TIMEOUT_SECONDS) as http, ThreadPoolExecutor(clients) as pool:
            for number in numbers:
                if ending.wait(max(0.0, start + number / rate - time.monotonic())):
                    return
                if not self.rests:
                    pool.submit(self._retry_on_database_error, http, number)

    def _retry_on_database_error(self, http: httpx.Client, number: int) -> None:
        for again in range(ASKS):
            time.sleep(again * AGAIN_SECONDS)
            asked = self.ask(http, number, again)
            self.asked.append(asked)
            if not asked.has_failed:
                return

    def ask(self, http: httpx.Client, number: int, again: int = 0) -> Asked:
        """Ask once for the transfer, or the mail, of that number."""
        url = f"http://{HOST}:{self._ports[(number + again) % len(self._ports)]}"
        is_mail = self._mail_every and number % self._mail_every == 0
        key = f"{self._name}-{number}"
        message_id = f"<{key}-{again}@chaos.example>"  # one that is asked for again is another
        answer, begun_at, begun = None, time.time(), time.perf_counter()
        with contextlib.suppress(httpx.TransportError):
            if is_mail:
                answer = http.post(f"{url}/mail", content=message_id)
            else:
                answer = self._ask_transfer(http, f"{url}/api/v1/transfers", number, key)
        return Asked(
            key=key,
            begun_at=begun_at,
            took_ms=(time.perf_counter() - begun) * 1000,
            status=None if answer is None else answer.status_code,
            transfer=message_id if is_mail else _id_in(answer),
            database_ms=_database_ms_in(answer),
        )

    def _ask_transfer(self, http: httpx.Client, url: str, number: int, key: str) -> httpx.Response:
        payer = number % len(self._tokens)
        body = {
            "payer_account": f"A{payer}",
            "payee_account": f"A{(payer + 1) % len(self._tokens)}",
            "amount_minor": 12_50,
            "currency": "EUR",
        }
        headers = {"Authorization": f"Bearer {self._tokens[payer]}", "Idempotency-Key": key}
        return http.post(url, json=body, headers=headers)


def _id_in(answer: httpx.Response | None) -> str:
    body: Any = answer.json() if answer is not None and answer.is_success else {}
    return str(body.get("id", ""))


def _database_ms_in(answer: httpx.Response | None) -> float:
    told = "" if answer is None else answer.headers.get("Server-Timing", "")
    return float(told.removeprefix("db;dur=") or 0)
