"""What Mallory can ask of a challenge that is not hers, or that is nobody's."""

import io
from collections.abc import Callable, Iterator
from uuid import UUID

from django.core.management import call_command
from django.test import Client

from mobile_api.models import Transfer
from otpmail import challenges
from otpmail.db.compat import uuid7
from otpmail.models import Challenge

JSON = "application/json"
THROUGH_THE_API = "POST confirm"

type Question = tuple[str, Callable[[UUID], object], list[UUID], list[UUID]]


def questions(count: int) -> Iterator[Question]:
    """Give each question with ids of nobody's and of Alice's."""
    call_command("demo_data", stdout=io.StringIO())
    alice, mallory = _signed_in("1001", "2468"), _signed_in("1002", "1357")
    for number in range(50):
        wish = {"payer_account": "10-0001", "payee_account": "10-0002", "amount_minor": 1}
        headers = {"idempotency-key": str(number)}
        alice.post("/api/v1/transfers", wish | {"currency": "EUR"}, JSON, headers=headers)

    def of(rows: list[UUID]) -> list[UUID]:
        return [rows[number % len(rows)] for number in range(count)]

    unknown = of([uuid7() for _ in range(50)])
    transfers = of(list(Transfer.objects.exclude(challenge_id=None).values_list("pk", flat=True)))
    issued = of(list(Challenge.objects.values_list("pk", flat=True)))

    def confirm(name: UUID) -> object:
        return mallory.post(f"/api/v1/transfers/{name}/confirm", {"code": "123456"}, JSON)

    def verify(name: UUID) -> object:
        return challenges.verify("transfer", name, "123456", owner="mallory")

    yield THROUGH_THE_API, confirm, unknown, transfers
    yield "challenges.verify", verify, unknown, issued


def _signed_in(number: str, pin: str) -> Client:
    client = Client(headers={"host": "localhost"})
    answer = client.post("/api/v1/sign-in", {"member_number": number, "pin": pin}, JSON)
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {answer.json()['token']}"
    return client
