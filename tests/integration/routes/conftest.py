import pytest

from otpmail import challenges, courier, database, outbox
from otpmail.models import Attempt, Delivery, Lane

ME = "elsewhere/1/1/me"


@pytest.fixture(autouse=True)
def engine(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"


def promise(**changes):
    named = {"purpose": "sign-in", "subject": "alice", "recipient": "alice@example.org"} | changes
    return challenges.issue(**named)


def carry():
    """Claim what is free and do one round with each."""
    return [
        courier.run(pk, ME) for pk in outbox.claim(ME, lane=Lane.CODE, now=database.now(), limit=10)
    ]


def again():
    """Do one more round with the one delivery that is queued."""
    return courier.run(Delivery.objects.get(state="queued").pk, ME)


def tried():
    """Tell each attempt's route and outcome, in the order of their ends."""
    return list(Attempt.objects.order_by("pk").values_list("route", "outcome"))
