"""Codes promised and carried one round at a time, by hand: no engine runs."""

from otpmail import challenges, courier, database, outbox
from otpmail.models import Attempt, Delivery, Lane
from otpmail.results import Issued, OverCap

ME = "elsewhere/1/1/me"


def promise(**changes: str) -> Issued | OverCap:
    """Promise Alice a code."""
    named = {"purpose": "sign-in", "subject": "alice", "recipient": "alice@example.org"} | changes
    return challenges.issue(**named)


def carry() -> list[float | None]:
    """Claim what is free and do one round with each."""
    claimed = outbox.claim(ME, lane=Lane.CODE, now=database.now(), limit=10)
    return [courier.run(delivery_id, ME) for delivery_id in claimed]


def again() -> float | None:
    """Do one more round with the one delivery that is queued."""
    return courier.run(Delivery.objects.get(state="queued").pk, ME)


def tried() -> list[tuple[str, str]]:
    """Tell each attempt's route and outcome, in the order of their ends."""
    return list(Attempt.objects.order_by("pk").values_list("route", "outcome"))
