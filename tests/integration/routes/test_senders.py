"""A sender that the server refuses is that mail's fault: codes go on, and the mail has an end."""

import pytest
from django.core import mail

from otpmail import routes
from otpmail.models import Delivery, Queue
from otpmail.routes import CircuitState
from tests import mailserver
from tests.integration.backends.test_outbox import through_outbox
from tests.rounds import carry_for, promise

pytestmark = pytest.mark.django_db(transaction=True)


class Picky(mailserver.MailServer):
    """Refuses a sender when it is named, or when a recipient is, as Postfix does."""

    def __init__(self, at_mail):
        super().__init__()
        self.at_mail = at_mail
        self.refused = 0

    def _refuses(self, sender):
        is_refused = sender.endswith(".example")
        self.refused += is_refused
        return is_refused

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        if self.at_mail and self._refuses(address):
            return f"553 5.7.1 <{address}>: Sender address rejected: not owned by user kiosk"
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self._refuses(envelope.mail_from):
            return "553 5.7.1 Sender address rejected: not owned by user kiosk"
        return await super().handle_RCPT(server, session, envelope, address, options)


@pytest.fixture(params=[True, False], ids=["at MAIL", "at RCPT"])
def server(request, settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_MAIL_RETRY_SECONDS = (1, 1)
    with mailserver.running(Picky(request.param)) as server:
        through_outbox(settings, server.port)
        yield server
        routes.close()


def write_from(*senders):
    for number, sender in enumerate(senders):
        mail.send_mail("contact", "hello", sender, [f"shop@d{number}.example.org"])


VISITORS = [f"visitor{number}@else{number}.example" for number in range(6)]


def opened(caplog):
    return [one.levelname for one in caplog.records if "circuit opened" in one.getMessage()]


def test_senders_that_are_refused_shut_no_route_to_codes(server, clock, caplog):
    """There were 20 ERROR lines in 25 seconds, and each code waited for a probe."""
    write_from(*VISITORS)
    carry_for(clock, 3)
    assert routes.circuit_statuses()["smtp"].state is CircuitState.CLOSED
    promise()
    carry_for(clock, 0.25)
    assert len(server.mails) == 1
    assert not opened(caplog)


def test_mail_of_a_sender_that_is_refused_has_an_end(server, clock):
    """It stayed queued for a day, rounds once."""
    write_from(*VISITORS)
    carry_for(clock, 10)
    assert server.refused == 3 * len(VISITORS)
    mails = Delivery.objects.filter(queue=Queue.MAIL)
    assert set(mails.values_list("state", "reason")) == {("failed", "gave up")}


def test_sender_of_the_codes_that_is_refused_shuts_their_route(server, settings, clock, caplog):
    settings.OTPMAIL_FROM = "Codes <codes@else.example>"
    for number in range(4):
        promise(recipient=f"alice@d{number}.example.org")
    carry_for(clock, 1)
    assert routes.circuit_statuses()["smtp"].state is CircuitState.OPEN
    assert opened(caplog) == ["ERROR"]
    settings.OTPMAIL_FROM = "codes@example.org"
    carry_for(clock, 20)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"accepted"}
