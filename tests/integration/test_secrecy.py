"""No words of ours hold a code, not even while it is alive and something breaks."""

import pytest
from django.test import Client

from otpmail import challenges
from otpmail.delivery import round_results
from otpmail.exceptions.foreign import OncePerMinute
from otpmail.testing import live_code
from tests.backends import Witness
from tests.mailserver import route_through, route_to, running
from tests.staff import pages, staff

pytestmark = pytest.mark.django_db(transaction=True)

CODES = 50
FEW = 9


@pytest.fixture(autouse=True)
def _ten_digits(settings):
    """So that no time and no id holds one by chance."""
    settings.OTPMAIL_DIGITS = 10


@pytest.mark.long
def test_no_code_in_what_any_object_says_of_itself(settings):
    """Asked while the mail is in the backend's hands: a code is never more alive than then."""
    Witness.seen.clear()
    route_through(settings, "tests.backends.Witness")
    for number in range(CODES):
        challenges.issue("sign-in", owner=str(number), recipient="alice@example.org")
    assert len(Witness.seen) == CODES
    for code, said in Witness.seen:
        assert len(code) == 10
        assert any("RenderedMessage" in words for words in said)
        assert [words for words in said if code in words] == []


@pytest.mark.parametrize("debug", [True, False])
def test_no_code_in_what_is_said_of_a_broken_template(settings, caplog, monkeypatch, debug):
    """``include`` names what it did not find, and here that is the code."""
    monkeypatch.setattr(
        round_results, "once_per_minute", OncePerMinute()
    )  # a test before may have told it
    broken = {"otpmail/sign-in/body.txt": "{{ code }} is your code. {% include code %}"}
    loaders = [
        ("django.template.loaders.locmem.Loader", broken),
        "django.template.loaders.app_directories.Loader",
    ]
    engine = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": engine, "OPTIONS": {"loaders": loaders, "debug": debug}}]
    settings.DEBUG, settings.OTPMAIL_RETRY_SECONDS = debug, []
    issued = challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    assert "cannot be rendered" in caplog.text
    assert "TemplateDoesNotExist" in caplog.text
    assert live_code(issued.challenge_id) not in caplog.text


@pytest.mark.parametrize("replies", [["250 2.0.0 Ok"], ["554 5.7.1 no <alice@example.org>, spam"]])
def test_no_code_and_no_address_in_what_an_operator_sees(settings, replies):
    """Of mails that were taken or refused; codes that were typed right and wrong, or wait."""
    with running() as server:
        server.data = replies
        route_to(settings, server.port)
        codes = dict(map(_issue, range(FEW)))
    taken = {mail.get_body(("plain",)).get_content().split()[0] for mail in server.mails}
    assert taken <= set(codes.values())
    for number, (challenge_id, code) in enumerate(codes.items()):
        typed = ["0000000000", code, None][number % 3]
        if typed:
            challenges.verify("sign-in", challenge_id, typed, owner=str(number))
    seen = _metrics(settings) + "".join(_admin(settings))
    assert 'otpmail_challenges_ended_recently{state="confirmed"} 3.0' in seen
    assert "a***@example.org" in seen
    assert "alice" not in seen
    assert [code for code in codes.values() if code in seen] == []


def _issue(number):
    issued = challenges.issue("sign-in", owner=str(number), recipient="alice@example.org")
    return issued.challenge_id, live_code(issued.challenge_id)


def _metrics(settings):
    settings.OTPMAIL_METRICS_TOKEN = "a token of more than sixteen"
    headers = {"authorization": f"Bearer {settings.OTPMAIL_METRICS_TOKEN}"}
    return Client(headers=headers).get("/codes/metrics").content.decode()


def _admin(settings):
    settings.ROOT_URLCONF = "tests.admin_urls"
    return pages(staff())
