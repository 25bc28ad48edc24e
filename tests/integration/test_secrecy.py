"""No words of ours hold a code, not even while it is alive and something breaks."""

import pytest

from otpmail import challenges
from otpmail.testing import live_code
from tests.backends import Witness
from tests.mailserver import route_through

pytestmark = pytest.mark.django_db(transaction=True)

CODES = 50


@pytest.fixture(autouse=True)
def _ten_digits(settings):
    """So that no time and no id holds one by chance."""
    settings.OTPMAIL_DIGITS = 10


def test_no_code_in_what_any_object_says_of_itself(settings):
    """Asked while the mail is in the backend's hands: a code is never more alive than then."""
    Witness.seen.clear()
    route_through(settings, "tests.backends.Witness")
    for number in range(CODES):
        challenges.issue("sign-in", subject=str(number), recipient="alice@example.org")
    assert len(Witness.seen) == CODES
    for code, said in Witness.seen:
        assert len(code) == 10
        assert any("Letter" in words for words in said)
        assert [words for words in said if code in words] == []


@pytest.mark.parametrize("debug", [True, False])
def test_no_code_in_what_is_said_of_a_broken_template(settings, caplog, debug):
    """``include`` names what it did not find, and here that is the code."""
    broken = {"otpmail/sign-in/body.txt": "{{ code }} is your code. {% include code %}"}
    loaders = [
        ("django.template.loaders.locmem.Loader", broken),
        "django.template.loaders.app_directories.Loader",
    ]
    engine = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": engine, "OPTIONS": {"loaders": loaders, "debug": debug}}]
    settings.DEBUG, settings.OTPMAIL_RETRY_SECONDS = debug, []
    issued = challenges.issue("sign-in", subject="alice", recipient="alice@example.org")
    assert "cannot be rendered" in caplog.text
    assert "TemplateDoesNotExist" in caplog.text
    assert live_code(issued.challenge_id) not in caplog.text
