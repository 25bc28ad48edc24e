"""Alice's codes: promised, carried one round at a time by hand, and typed back."""

import itertools
from typing import Any
from uuid import UUID

from otpmail import challenges
from otpmail.db import database
from otpmail.delivery import courier, leases
from otpmail.models import Attempt, Delivery, Queue
from otpmail.results import Issued
from otpmail.testing import live_code

ME = "elsewhere/1/1/me"


_NUMBERS = itertools.count(1)


def promise(**changes: Any) -> Any:
    """Promise Alice a code: a new one each time, since she has a sub-address for each."""
    recipient = f"alice+{next(_NUMBERS)}@example.org"
    named = {"purpose": "sign-in", "owner": "alice", "recipient": recipient} | changes
    return challenges.issue(**named)


def verify(issued: Issued, typed: str, **changes: Any) -> object:
    """Type a code for Alice."""
    named = {"purpose": "sign-in", "owner": "alice"} | changes
    return challenges.verify(named.pop("purpose"), issued.challenge_id, typed, **named)


def wrong_code(issued: Issued) -> str:
    """Give six digits that are not the code."""
    return other_than(live_code(issued.challenge_id) or "")


def other_than(code: str) -> str:
    """Give six digits that are not these."""
    return f"{(int(code or 0) + 1) % 10**6:06d}"


def carry() -> list[float | None]:
    """Claim what is free and do one round with each."""
    claimed = leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=10)
    return [one_round(delivery_id) for delivery_id in claimed]


def again() -> float | None:
    """Do one more round with the one delivery that is queued."""
    return one_round(Delivery.objects.get(state="queued").pk)


def carry_for(clock: Any, seconds: float) -> None:
    """Let time pass, and have what waits go whenever the route may be asked."""
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        clock.move(0.25)
        leases.release(ME)
        Delivery.objects.update(due_at=database.now())
        for queue in Queue:
            for delivery_id in leases.claim(ME, queue=queue, now=database.now(), limit=10):
                courier.run([delivery_id], ME)


def one_round(delivery_id: UUID, holder: str = ME) -> float | None:
    """Do a round with one delivery."""
    return courier.run([delivery_id], holder).waits[delivery_id]


def states() -> set[str]:
    """Tell in which states deliveries are."""
    return set(Delivery.objects.values_list("state", flat=True))


def tried() -> list[tuple[str, str]]:
    """Tell each attempt's route and outcome, in the order of their ends."""
    return list(Attempt.objects.order_by("pk").values_list("route", "outcome"))
