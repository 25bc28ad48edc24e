"""Who is to blame decides who is asked next, what the circuit learns, and what the person hears."""

import pytest

from otpmail import challenges, routes
from otpmail.models import Delivery
from tests import mailserver
from tests.rounds import again, carry, promise, tried

pytestmark = pytest.mark.django_db(transaction=True)

BLOCKED = "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a list"
POLICIES = [
    BLOCKED,
    "554 5.7.1 <alice@example.org>: Relay access denied",
    "550 blocked by bl.test",
    "451 4.7.500 Server busy",
]
SENDING_DOMAIN = [
    "550 5.7.515 Access denied, sending domain doesn't meet the level",
    *(f"550 5.7.{detail} unauthenticated" for detail in range(26, 31)),
    "451 4.7.29 not sent over TLS",
]


@pytest.fixture(params=["rcpt", "data"])
def at(request):
    return request.param


@pytest.fixture
def servers(settings):
    with mailserver.running() as first, mailserver.running() as second:
        mailserver.routes_to(settings, a=first.port, b=second.port)
        yield first, second
        routes.close()


@pytest.fixture
def only(settings):
    with mailserver.running() as server:
        mailserver.route_to(settings, server.port)
        yield server
        routes.close()


def refuse(server, at, reply):
    setattr(server, at, [reply])


@pytest.mark.parametrize("reply", POLICIES + SENDING_DOMAIN)
def test_policy_sends_the_mail_to_the_next_route(servers, at, reply):
    refuse(servers[0], at, reply)
    promise()
    assert carry() == [None]
    kind = "permanent" if reply.startswith("5") else "transient"
    assert tried() == [("a", kind), ("b", "accepted")]
    assert routes.circuit_statuses()["a"].faults == 1


def test_circuit_learns_a_policy(no_probe, servers, at):
    refuse(servers[0], at, BLOCKED)
    for _ in range(5):
        promise()
    carry()
    assert tried() == [("a", "permanent"), ("b", "accepted")] * 3 + [("b", "accepted")] * 2


@pytest.mark.parametrize("reply", SENDING_DOMAIN)
def test_sender_whom_nobody_can_believe_shuts_the_route_at_once(no_probe, servers, at, reply):
    if reply.startswith("4"):
        pytest.skip("that may pass")
    refuse(servers[0], at, reply)
    for _ in range(2):
        promise()
    carry()
    assert tried()[1:] == [("b", "accepted")] * 2


@pytest.mark.parametrize("reply", POLICIES)
def test_person_is_not_told_that_their_address_is_bad(only, at, reply):
    """Nor is the only route shut to others: it may be their server alone that thinks so."""
    refuse(only, at, reply)
    issued = promise()
    carry()
    for _ in range(3):
        again()
    assert Delivery.objects.get().reason == "gave up"
    assert routes.circuit_statuses()["default"].state is routes.CircuitState.CLOSED
    status = challenges.status("sign-in", issued.challenge_id, owner="alice")
    assert "address" not in repr(status).lower()


def test_person_whose_address_is_bad_is_told(only, at):
    refuse(only, at, "550 5.1.1 no such user")
    promise()
    assert carry() == [None]
    assert Delivery.objects.get().reason == "refused"


def test_policy_that_several_domains_meet_shuts_the_only_route(no_probe, only, at):
    refuse(only, at, BLOCKED)
    for domain in ("example.org", "example.net", "example.com"):
        promise(recipient=f"alice@{domain}")
    carry()
    assert routes.circuit_statuses()["default"].state is routes.CircuitState.OPEN
