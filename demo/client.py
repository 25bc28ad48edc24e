"""Alice moves money over HTTP: what the demo shows, and checks, step by step."""

import re
import time
from dataclasses import dataclass
from typing import Any

import httpx

from demo.machine import HOST, DemoError, Ports

MAIL_SECONDS = 10
CONFIRMED = 200


@dataclass(frozen=True, slots=True)
class Story:
    """What was seen: milliseconds from the request to the answer and to the mail, and its bytes."""

    answered_ms: float
    accepted_ms: float
    mail_bytes: int


def tell(ports: Ports) -> Story:
    """Go the whole way once. Raises `DemoError` at the first step that is not as it should be."""
    with (
        httpx.Client(base_url=f"http://{HOST}:{ports.kiosk}/api/v1", timeout=30) as kiosk,
        httpx.Client(base_url=f"http://{HOST}:{ports.mailbox}") as mailbox,
    ):
        _sign_in(kiosk)
        _ask_for_transfer(kiosk, "warm-up")  # the first request of a process imports and connects
        _wait_for_mail(mailbox, count=1)
        asked_at = time.time()
        transfer, answered_ms = _ask_for_transfer(kiosk, "demo")
        mail = _wait_for_mail(mailbox, count=2)
        accepted_ms = (mail["accepted_at"] - asked_at) * 1000
        _say(f"the mail server took the mail {accepted_ms:.1f} ms after the request:")
        print(_quoted(mail))
        code = _code_in(mail)
        path = f"/transfers/{transfer['id']}/confirm"
        wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
        _type(kiosk, path, wrong, expected=422)
        _type(kiosk, path, code, expected=CONFIRMED)
        _type(kiosk, path, code, expected=409)
        _show_balances(kiosk)
    return Story(answered_ms, accepted_ms, mail["size"])


def _sign_in(kiosk: httpx.Client) -> None:
    answer = kiosk.post("/sign-in", json={"member_number": "1001", "pin": "2468"})
    token = _expect(answer, 200)["token"]
    kiosk.headers["Authorization"] = f"Bearer {token}"
    _say(f"Alice signs in: {answer.status_code}")


def _ask_for_transfer(kiosk: httpx.Client, key: str) -> tuple[dict[str, Any], float]:
    body = {
        "payer_account": "10-0001",
        "payee_account": "10-0002",
        "amount_minor": 12_50,
        "currency": "EUR",
    }
    started = time.perf_counter()
    answer = kiosk.post("/transfers", json=body, headers={"Idempotency-Key": key})
    took_ms = (time.perf_counter() - started) * 1000
    transfer = _expect(answer, 201)
    _say(f"Alice asks to pay Bob EUR 12.50: {answer.status_code} in {took_ms:.1f} ms")
    return transfer, took_ms


def _wait_for_mail(mailbox: httpx.Client, *, count: int) -> dict[str, Any]:
    until = time.monotonic() + MAIL_SECONDS
    while time.monotonic() < until:
        mails: list[dict[str, Any]] = mailbox.get("/mails.json").json()
        if len(mails) >= count:
            return mails[0]
        time.sleep(0.02)
    raise DemoError(f"No mail came within {MAIL_SECONDS} s; see var/demo/logs/django.log.")


def _code_in(mail: dict[str, Any]) -> str:
    found = re.search(r"\b\d{6}\b", mail["text"].splitlines()[0])
    if found is None:
        raise DemoError("The mail's first line holds no code.")
    return found[0]


def _type(kiosk: httpx.Client, path: str, code: str, *, expected: int) -> None:
    answer = kiosk.post(path, json={"code": code})
    told = _expect(answer, expected)
    _say(f"Alice types {code}: {answer.status_code} {told.get('detail') or told['state']}")


def _show_balances(kiosk: httpx.Client) -> None:
    (alice,) = _expect(kiosk.get("/accounts"), 200)
    _expect(kiosk.post("/sign-out"), 204)
    answer = kiosk.post("/sign-in", json={"member_number": "1002", "pin": "1357"})
    kiosk.headers["Authorization"] = f"Bearer {_expect(answer, 200)['token']}"
    (bob,) = _expect(kiosk.get("/accounts"), 200)
    if (alice["balance_minor"], bob["balance_minor"]) != (98_750, 101_250):
        raise DemoError(f"The money did not move once: {alice}, {bob}")
    for name, account in (("Alice", alice), ("Bob", bob)):
        _say(f"{name} has {account['currency']} {account['balance_minor'] / 100:.2f}")


def _expect(answer: httpx.Response, status: int) -> Any:
    if answer.status_code != status:
        raise DemoError(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code} "
            f"and not {status}: {answer.text}"
        )
    return answer.json() if answer.content else None


def _quoted(mail: dict[str, Any]) -> str:
    head = f"To: {mail['to']}\nSubject: {mail['subject']}\n\n{mail['text'].rstrip()}"
    return "\n".join(f"    | {line}".rstrip() for line in head.splitlines())


def _say(line: str) -> None:
    print(f"  {line}")
