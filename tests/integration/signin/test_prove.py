"""Somebody who is signed in proves a new address, and has it from then on."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.core import mail

from otpmail.models import Delivery
from otpmail.signin import signals
from tests.integration.signin.conftest import Browser, other_than

pytestmark = pytest.mark.django_db(transaction=True)

AT = "/sign-in/address"
THEN = datetime(2026, 1, 1, tzinfo=UTC)
NEW = "new@example.org"


class Member(Browser):
    def page(self):
        return f"{AT}/{self.session['otpmail.signin'][-1][0]}"

    def challenge(self, page=None):
        return super().challenge((page or self.page()).replace("address/", ""))

    def ask(self, email, **more):
        return self.post(AT, {"email": email, **more}, follow=True)


@pytest.fixture
def browser(alice):
    browser = Member()
    browser.force_login(alice)
    return browser


@pytest.fixture
def told():
    heard = []

    def hear(sender, request, user, address, before, **_):
        heard.append((user.username, before, address))

    signals.address_proven.connect(hear, sender=get_user_model())
    yield heard
    signals.address_proven.disconnect(hear, sender=get_user_model())


def test_proven_address_is_the_users(browser, alice, told):
    assert "Your new address" in browser.get(AT).text
    browser.ask(NEW)
    assert mail.outbox[0].to == [NEW]
    assert "confirm" in mail.outbox[0].body
    wrong = browser.type(other_than(browser.code())[-6:])
    assert wrong.status_code == 400
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"
    done = browser.type(browser.code())
    assert NEW in done.text
    alice.refresh_from_db()
    assert alice.email == NEW
    assert told == [("alice", "alice@example.org", NEW)]
    assert browser.is_signed_in()


def test_who_was_led_here_is_led_back(browser):
    browser.ask(NEW, next="/home")
    assert browser.type(browser.code())["Location"] == "/home"


def test_nobody_gets_in_who_is_not_signed_in(browser):
    browser.ask(NEW)
    page, code = browser.page(), browser.code()
    for path in (AT, page, f"{page}/progress"):
        assert "/sign-in/?next=" in Browser().get(path)["Location"]
    assert "/sign-in/?next=" in Browser().type(code, page)["Location"]


def test_code_of_one_user_is_no_code_of_another(browser):
    browser.ask(NEW)
    page, code = browser.page(), browser.code()
    bob = get_user_model().objects.create_user("bob", email="bob@example.org")
    browser.force_login(bob)
    assert browser.type(code, page).status_code == 404
    bob.refresh_from_db()
    assert bob.email == "bob@example.org"


@pytest.mark.parametrize("is_active", [True, False])
def test_address_of_another_account_is_told_to_its_owner_alone(browser, alice, is_active, told):
    make = get_user_model().objects.create_user
    make("bob", email="bob@example.org", is_active=is_active)
    assert "taken" not in browser.ask("bob@example.org").text
    done = browser.type(browser.code())
    assert done.status_code == 409
    assert "This address is taken" in done.text
    alice.refresh_from_db()
    assert (alice.email, told) == ("alice@example.org", [])


@pytest.mark.parametrize(
    ("fate", "words"),
    [
        ({"state": "queued", "settled_at": None, "rounds": 0}, "We are sending your code"),
        ({"state": "accepted"}, "Taken by the mail server"),
        (
            {"state": "accepted", "event": "delivered", "event_at": THEN},
            "Delivered to your mailbox",
        ),
        ({"state": "accepted", "event": "deferred", "event_at": THEN}, "Mail is slow just now"),
        ({"state": "accepted", "event": "bounced", "event_at": THEN}, "This mail did not arrive"),
        ({"state": "failed", "reason": "refused"}, "This mail did not arrive"),
        ({"state": "dropped", "reason": "expired"}, "This mail was not sent"),
    ],
)
def test_what_becomes_of_the_mail_is_told(browser, fate, words):
    browser.ask(NEW)
    Delivery.objects.update(**fate)
    assert words in browser.get(browser.page()).text
    assert browser.get(f"{browser.page()}/progress").json()["lead"] == words


def test_code_to_sign_in_is_none_to_prove_an_address(browser, alice):
    stranger = Browser()
    stranger.ask(alice.email)
    page = stranger.page().replace("/sign-in/", "/sign-in/address/")
    stranger.force_login(alice)
    assert stranger.get(page).status_code == 404
