"""A mail that may have been taken is sent again no more often than its tries allow."""

from collections import Counter

import pytest
from django.core import mail

from otpmail import routes
from otpmail.models import Attempt, Delivery
from tests.integration.backends.test_outbox import through_outbox
from tests.rounds import carry_for, promise
from tests.scripted import scripted

pytestmark = pytest.mark.django_db(transaction=True)

COPIES = 4
"""One, and one after each wait."""


class Swallowing:
    """It takes each mail, and cuts the connection instead of saying so."""

    def __init__(self):
        self.taken = Counter()

    def __call__(self, talk):
        talk.greet(b"250 x\r\n")
        while talk.hear() != b"DATA":
            talk.say(b"250 ok\r\n")
        talk.say(b"354\r\n")
        self.taken[talk.hear_body().split(b"To: ")[1].split(b"\r\n")[0]] += 1
        talk.cut()


@pytest.fixture
def taken(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_RETRY_SECONDS = settings.OTPMAIL_MAIL_RETRY_SECONDS = (1, 1, 1)
    script = Swallowing()
    with scripted(script) as server:
        through_outbox(settings, server.port)
        yield script.taken
        routes.close()


@pytest.mark.parametrize("codes", [1, 3])
def test_code_of_unknown_fate_is_sent_no_more_often_than_its_tries(clock, taken, codes):
    """There were 31 copies in 40 seconds, and 3 rows."""
    for _ in range(codes):
        promise()
    carry_for(clock, 30)
    assert taken
    assert set(taken.values()) == {COPIES}
    assert set(Delivery.objects.values_list("state", "reason")) == {("failed", "gave up")}
    unknown = Attempt.objects.filter(outcome="unknown")
    assert unknown.count() == Attempt.objects.count() == COPIES * codes


def test_mail_of_unknown_fate_is_sent_no_more_often_than_its_tries(settings, clock, taken):
    for number in range(3):
        mail.send_mail("s", "invoice", "shop@example.org", [f"bob{number}@d{number}.example"])
    carry_for(clock, 30)
    assert taken
    assert set(taken.values()) == {COPIES}
    assert Attempt.objects.count() == sum(taken.values())
