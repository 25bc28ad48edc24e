"""Whatever foreign code raises ends as an outcome of its route, and the code leaves by the next."""

from types import SimpleNamespace

import pytest
from django.core.mail import EmailMessage

from otpmail import routes
from otpmail.models import Attempt, Delivery
from otpmail.outcomes import Blame, Kind
from otpmail.routes.transport import open_session, send
from tests import foreign, mailserver
from tests.rounds import again, carry, promise
from tests.scripted import scripted

pytestmark = pytest.mark.django_db(transaction=True)

PLACES = ["__init__", "hasattr", "open", "send_messages", "send_outcomes"]
THROUGH = {"KeyboardInterrupt", "SystemExit", "GeneratorExit"}
"""In the main thread these end the process."""

NAMES = [name for name in foreign.ERRORS if name not in THROUGH]


@pytest.fixture
def second(settings):
    """The first route is foreign, the second good."""
    with mailserver.running() as server:
        mailserver.routes_to(settings, a=mailserver.free_port(), b=server.port)
        yield server
        routes.close()


def first_is(settings, backend):
    settings.MAILERS = settings.MAILERS | {"a": {"BACKEND": f"tests.foreign.{backend}"}}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_code_leaves_by_the_next_route_and_the_first_ones_reply_names_the_type(
    settings, monkeypatch, second, name, place
):
    monkeypatch.setattr(foreign.Foreign, "error", foreign.ERRORS[name])
    monkeypatch.setattr(foreign.Foreign, "place", place)
    first_is(settings, "Foreign")
    promise()
    carry()
    if (name, place[:4]) == ("SSLError", "send"):  # it may have been taken: the next round goes on
        assert again() is None
    failed, accepted = Attempt.objects.order_by("pk")
    assert name in failed.reply
    assert accepted.outcome == "accepted"
    assert routes.circuit_statuses()["a"].faults == 1


@pytest.mark.parametrize("name", NAMES)
def test_knock_ends_as_a_fault(settings, monkeypatch, second, name):
    monkeypatch.setattr(foreign.Foreign, "error", foreign.ERRORS[name])
    monkeypatch.setattr(foreign.Foreign, "place", "open")
    first_is(settings, "Foreign")
    fault = open_session("a", seconds=5)
    assert fault.blame is Blame.ROUTE
    assert name in fault.reply


@pytest.mark.parametrize("told", [None, [], [None, None], ["ok"], 7, {"a": 1, "b": 2}], ids=repr)
def test_outcomes_that_are_none_may_have_been_an_acceptance(settings, monkeypatch, second, told):
    monkeypatch.setattr(foreign.Senseless, "told", told)
    first_is(settings, "Senseless")
    (outcome,) = send("a", [EmailMessage()], seconds=5, still_valid=lambda _: True)
    assert outcome.kind in {Kind.UNKNOWN, Kind.TRANSIENT}
    assert outcome.blame is Blame.ROUTE


@pytest.mark.parametrize(
    "status",
    [
        7,
        "sent",
        SimpleNamespace(status=None),
        SimpleNamespace(
            status={"sent"}, esp_response=SimpleNamespace(status_code=200, headers=None)
        ),
        SimpleNamespace(status=7, esp_response=object()),
        foreign.UnreadableError(),
    ],
    ids=["7", "text", "none", "no headers", "no response", "unreadable"],
)
def test_odd_word_of_a_provider_ends_no_round(settings, monkeypatch, second, status):
    monkeypatch.setattr(foreign.Odd, "status", status)
    first_is(settings, "Odd")
    promise()
    carry()
    assert Attempt.objects.count() in {1, 2}
    assert Delivery.objects.get().state in {"accepted", "queued"}


@pytest.mark.parametrize("backend", [mailserver.OUR_BACKEND, mailserver.DJANGOS_BACKEND])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "SSLError"])
def test_mail_that_cannot_be_written_out_is_no_fault_of_its_route(
    settings, monkeypatch, backend, name
):
    monkeypatch.setattr(foreign.Broken, "error", foreign.ERRORS[name])
    with mailserver.running() as server:
        mailserver.route_to(settings, server.port, backend=backend)
        mail = foreign.Broken(from_email="k@example.org", to=["alice@example.org"])
        (outcome,) = send("default", [mail], seconds=5, still_valid=lambda _: True)
        routes.close()
    assert outcome.blame is Blame.MAIL, outcome
    assert name in outcome.reply


def gives(value):
    return lambda: value


TOKENS = [
    gives(None),
    gives(b"bytes"),
    gives(7),
    gives(""),
    *map(foreign.raises, foreign.ERRORS.values()),
]


@pytest.mark.parametrize("number", range(len(TOKENS)))
def test_token_that_is_none_is_a_fault_of_its_route(settings, monkeypatch, second, number):
    def script(talk):
        talk.greet(b"250-scripted\r\n250 AUTH XOAUTH2\r\n")
        talk.hear()
        talk.say(b"535 5.7.8 no\r\n")
        talk.wait_for_end()

    with scripted(script) as server:
        mailserver.routes_to(settings, a=server.port, b=second.port)
        settings.MAILERS["a"]["OPTIONS"] |= {"username": "me", "token": TOKENS[number]}
        promise()
        carry()
    failed, accepted = Attempt.objects.order_by("pk")
    assert (failed.route, accepted.outcome) == ("a", "accepted")
    assert routes.circuit_statuses()["a"].faults == 1
