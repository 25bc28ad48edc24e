"""With one setting, whoever proves an address that nobody has becomes a user; not before."""

from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.core import mail

from otpmail.signin import signals, users
from tests.crowd import at_once
from tests.integration.signin.conftest import AT, Browser, other_than, shown

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "New@example.org"


@pytest.fixture(autouse=True)
def open_to_all(settings):
    settings.OTPMAIL_SIGNIN_SIGN_UP = True


@pytest.fixture
def told():
    heard = []

    def hear(sender, request, user, **_):
        heard.append((user.email, user.pk))

    signals.signed_up.connect(hear)
    yield heard
    signals.signed_up.disconnect(hear)


def count():
    return get_user_model().objects.count()


def test_who_proves_a_new_address_becomes_a_user(browser, told):
    assert "If you are new here, that is all." in browser.get(AT).text
    browser.ask(NEW)
    assert count() == 0
    assert browser.type(other_than(browser.code())).status_code == 400
    assert count() == 0
    assert browser.type(browser.code()).status_code == 302
    made = get_user_model().objects.get()
    assert made.email == "new@example.org"
    assert not made.has_usable_password()
    assert told == [(made.email, made.pk)]
    assert browser.is_signed_in()


def test_who_is_known_is_signed_in_and_no_other_is_made(browser, alice, told):
    browser.ask(alice.email)
    browser.type(browser.code())
    assert browser.get("/home").text == "alice"
    assert (count(), told) == (1, [])


def test_known_and_new_addresses_are_answered_alike(alice):
    pages = [shown(Browser().ask(name)).replace(name, "…") for name in (alice.email, NEW)]
    assert pages[0] == pages[1]
    assert len(mail.outbox) == 2


def test_who_was_shut_out_does_not_come_back_as_another(browser, alice):
    get_user_model().objects.update(is_active=False)
    browser.ask(alice.email)
    assert browser.type(browser.code()).status_code == 403
    assert count() == 1


def test_project_may_make_the_user(browser, settings):
    settings.OTPMAIL_SIGNIN_MAKE_USER = "tests.integration.signin.test_sign_up.make"
    browser.ask(NEW)
    browser.type(browser.code())
    assert browser.get("/home").text == "made by the project"


def make(address):
    return get_user_model().objects.create_user("made by the project", email=address)


def test_receiver_that_raises_takes_the_user_back_and_the_code_stays_good(browser):
    def refuse(**_):
        raise RuntimeError

    browser.ask(NEW)
    signals.signed_up.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            browser.type(browser.code())
    finally:
        signals.signed_up.disconnect(refuse)
    assert count() == 0
    assert browser.type(browser.code()).status_code == 302


def test_browsers_that_sign_up_at_once_are_one_user():
    browsers = [Browser() for _ in range(4)]
    for one in browsers:
        one.ask(NEW)
    acts = [partial(one.type, one.code()) for one in browsers]
    assert {one.status_code for one in at_once(*acts)} == {302}
    assert count() == 1


def test_name_that_is_taken_makes_nobody(alice, settings):
    settings.OTPMAIL_SIGNIN_MAKE_USER = "tests.integration.signin.test_sign_up.make_alice"
    browser = Browser()
    browser.ask(NEW)
    assert browser.type(browser.code()).status_code == 403
    assert count() == 1
    assert users.find(NEW) is None


def make_alice(address):
    return get_user_model().objects.create_user("alice", email=address)
