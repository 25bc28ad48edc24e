"""A relay that waits for one recipient's server holds not all couriers, and is not out of order."""

import asyncio
import threading

import pytest

from otpmail import engines, routes
from otpmail.models import Attempt, Delivery
from tests import mailserver
from tests.rounds import promise
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = "slow.example"
COURIERS = 8


class Relay(mailserver.MailServer):
    """Asks a recipient's server at RCPT, and one of these does not answer before it is told to."""

    def __init__(self):
        super().__init__()
        self.may_answer = threading.Event()
        self.waiting = 0

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address.endswith(SLOW):
            self.waiting += 1
            try:
                while not self.may_answer.is_set():
                    await asyncio.sleep(0.01)
            finally:
                self.waiting -= 1
        return await super().handle_RCPT(server, session, envelope, address, options)


@pytest.fixture
def relay(settings):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    with mailserver.running(Relay()) as relay:
        mailserver.route_to(settings, relay.port)
        yield relay
        relay.may_answer.set()
        engines.current().stop(10)
        routes.close()


def promise_to(domain, count):
    for number in range(count):
        name = f"{number}@{domain}"
        promise(owner=name, recipient=name)


def to(domain):
    return Delivery.objects.filter(challenge__recipient__endswith=domain)


def test_codes_for_other_domains_leave_while_one_domain_is_silent(relay, settings):
    """Eight such mails held up everybody's codes for up to 35 seconds, and opened the circuit."""
    promise_to(SLOW, 8)
    wait_until(lambda: relay.waiting == COURIERS // 2)
    promise_to("quick.example", 20)
    relay.wait_for(20)
    wait_until(lambda: not to("quick.example").exclude(state="accepted"))
    assert relay.waiting == COURIERS // 2  # still
    assert not to(SLOW).exclude(state="queued")
    relay.may_answer.set()
    relay.wait_for(28)
    wait_until(lambda: not Delivery.objects.exclude(state="accepted"))
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted"}


def test_domain_whose_mails_time_out_opens_no_circuit(relay, settings):
    mailserver.route_to(settings, relay.port, timeout=0.3)
    settings.OTPMAIL_RETRY_SECONDS = (0.1, 0.1, 0.1)
    promise_to(SLOW, 8)
    wait_until(lambda: not to(SLOW).exclude(state="failed"))
    assert Attempt.objects.filter(outcome="transient").count() == 8 * 4
    assert routes.circuit_statuses()["default"].state is routes.CircuitState.CLOSED
    promise_to("quick.example", 3)
    relay.wait_for(3)


def test_relay_that_is_silent_for_several_domains_is_out_of_order(relay, settings):
    mailserver.route_to(settings, relay.port, timeout=0.3)
    for domain in (SLOW, f"very.{SLOW}", f"most.{SLOW}"):
        promise_to(domain, 2)
    wait_until(lambda: routes.circuit_statuses()["default"].state is not routes.CircuitState.CLOSED)
