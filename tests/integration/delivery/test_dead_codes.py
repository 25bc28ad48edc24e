"""A code that died before its mail was written whole is not sent, however slow the server is."""

import threading

import pytest
from django.db import connections

from otpmail import challenges, routes
from otpmail.models import Delivery
from otpmail.testing import live_code
from tests import mailserver
from tests.rounds import carry, promise, verify
from tests.ruled import Ruled, Turn
from tests.scripted import OFFER_ALL, OFFER_NOTHING, OFFER_PIPELINING, scripted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _engine(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_HEDGE_AFTER = 60
    yield
    routes.close()


def is_answered(issued, pass_time):
    verify(issued, live_code(issued.challenge_id))


def is_cancelled(issued, pass_time):
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")


def is_exhausted(issued, pass_time):
    for _ in range(10):
        right = live_code(issued.challenge_id)
        verify(issued, f"{(int(right or 0) + 1) % 10**6:06d}")


def is_superseded(issued, pass_time):
    """With fewer than three minutes left the next mail carries a new code."""
    pass_time(issued.challenge_id, 450)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")


DEATHS = [is_answered, is_cancelled, is_exhausted, is_superseded]

MOMENTS = [
    (OFFER_NOTHING, "EHLO"),
    (OFFER_NOTHING, "MAIL"),
    (OFFER_NOTHING, "RCPT"),
    (OFFER_NOTHING, "DATA"),
    (OFFER_PIPELINING, "EHLO"),
    (OFFER_PIPELINING, "MAIL"),
    (OFFER_PIPELINING, "RCPT"),
    (OFFER_PIPELINING, "DATA"),
    (OFFER_ALL, "EHLO"),
]
"""The last that a server is slow to answer before the body is written."""


@pytest.mark.parametrize("dies", DEATHS)
@pytest.mark.parametrize(
    ("offer", "verb"), MOMENTS, ids=[f"{verb}-{number}" for number, (_, verb) in enumerate(MOMENTS)]
)
def test_code_that_dies_before_its_body_is_written_is_not_sent(
    settings, pass_time, offer, verb, dies
):
    def rule(turn: Turn) -> bytes | None:
        if turn.verb == verb and dead == []:
            dies(issued, pass_time)
            connections.close_all()
            dead.append(True)
        return None

    dead: list[bool] = []
    ruled = Ruled(rule, offer)
    with scripted(ruled) as server:
        mailserver.route_to(settings, server.port)
        issued = promise()
        carry()
    assert dead
    assert ruled.mails == []
    assert Delivery.objects.order_by("created_at").first().state == "dropped"


@pytest.mark.parametrize("offer", [OFFER_NOTHING, OFFER_PIPELINING])
def test_older_generation_never_arrives_last(settings, pass_time, offer):
    """A server that is slow at RCPT holds the older one's mail while the newer's overtakes it."""

    def rule(turn: Turn) -> bytes | None:
        if turn.verb == "RCPT" and turn.session == 0:
            keeps_lease.set()
            assert may_answer.wait(60)
        return None

    def carry_apart() -> None:
        carry()
        connections.close_all()

    keeps_lease, may_answer = threading.Event(), threading.Event()
    ruled = Ruled(rule, offer)
    with scripted(ruled) as server:
        mailserver.route_to(settings, server.port)
        issued = promise()
        older = threading.Thread(target=carry_apart)
        older.start()
        assert keeps_lease.wait(60)
        is_superseded(issued, pass_time)
        carry()
        assert len(ruled.mails) == 1
        may_answer.set()
        older.join()
    ((_, body),) = ruled.mails
    assert live_code(issued.challenge_id).encode() in body
