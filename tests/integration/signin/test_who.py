"""Nobody learns who is known here, nobody is locked out by another, and nobody is taken for one."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from otpmail.signin import users
from tests.integration.signin.conftest import Browser, other_than, shown

pytestmark = pytest.mark.django_db(transaction=True)

STRANGER = "carol@example.org"


def journey(email, pass_time):
    """Do all that somebody can who cannot read the mail; gives what each page was."""
    browser = Browser()
    pages = [browser.ask(spelling) for spelling in (email, email.upper())]
    pages.append(browser.get(f"{browser.page()}/progress"))
    pages.append(browser.resend())
    pass_time(browser.challenge().pk, 61)
    pages.append(browser.resend(follow=True))
    typed = "12345678" if browser.code() != "12345678" else "12345679"
    pages += [browser.type(typed) for _ in range(6)]
    pages.append(browser.ask(email))
    names = re.compile(email, re.IGNORECASE)
    return [(page.status_code, names.sub("…", shown(page))) for page in pages]


def test_known_and_unknown_addresses_are_answered_alike(alice, pass_time):
    assert journey(alice.email, pass_time) == journey(STRANGER, pass_time)


def test_nothing_is_mailed_to_an_unknown_address(browser, alice):
    browser.ask(STRANGER)
    assert mail.outbox == []
    told = browser.type(browser.code() or "12345678")
    assert told.status_code == 400
    assert not browser.is_signed_in()


def test_known_and_unknown_addresses_cost_the_same_statements(alice, settings, clock):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"  # what sends is no part of the request

    def statements(email):
        browser = Browser()
        with CaptureQueriesContext(
            connection,
        ) as asked:
            browser.ask(email)
        return [one["sql"].split(" ", 1)[0] for one in asked]

    statements(STRANGER)  # whatever the process learns only once
    known = statements(alice.email)
    assert len(known) > 10
    assert known == statements("dave@example.org")


def test_strangers_do_not_lock_a_member_out(browser, alice, pass_time):
    for _ in range(3):
        stranger = Browser()
        stranger.ask(alice.email)
        pass_time(stranger.challenge().pk, 61)
        stranger.resend()
        for _ in range(5):
            stranger.type(other_than(stranger.code() or "1" * 8))
    browser.ask(alice.email)
    assert browser.type(browser.code()).status_code == 302


def test_device_that_signed_in_before_has_mails_of_its_own(browser, alice):
    browser.ask(alice.email)
    browser.type(browser.code())
    browser.cookies.pop("sessionid")
    for _ in range(12):
        told = Browser().ask(alice.email)
    assert told.status_code == 429
    assert browser.ask(alice.email).status_code == 200
    assert browser.type(browser.code()).status_code == 302


def test_who_asks_is_told_by_the_project(alice, settings, monkeypatch):
    settings.OTPMAIL_SIGNIN_CLIENT = "tests.integration.signin.test_who.client_of"
    settings.OTPMAIL_CLIENT_QUOTA = [2, 2]
    answers = [Browser().ask(f"{name}@example.org").status_code for name in "abc"]
    assert answers == [200, 200, 429]


def client_of(request):
    from otpmail.challenges import Client

    return Client(address=request.META["REMOTE_ADDR"])


@pytest.mark.parametrize("typed", ["ALICE@Example.ORG", " alice@example.org "])
def test_capitals_make_no_difference(browser, alice, typed):
    browser.ask(typed)
    assert mail.outbox[0].to == ["alice@example.org"]
    assert browser.type(browser.code()).status_code == 302


@pytest.mark.parametrize("typed", ["al\u0131ce@example.org", "alice@exam\u0440le.org"])
def test_address_that_only_looks_alike_is_nobodys(browser, alice, typed):
    browser.ask(typed)
    assert mail.outbox == []
    assert users.find(typed) is None


def test_domain_may_be_written_in_any_letters(browser):
    make = get_user_model().objects.create_user
    make("one", email="one@stra\u00dfe.example")
    make("two", email="two@xn--strae-oqa.example")
    for name in ("one", "two"):
        for domain in ("stra\u00dfe.example", "xn--strae-oqa.example"):
            assert users.find(f"{name}@{domain}").get_username() == name


def test_of_two_with_one_address_the_spelling_decides_and_then_the_age(alice):
    make = get_user_model().objects.create_user
    capital = make("capital", email="Alice@example.org")
    make("younger", email="alice@example.org")
    assert users.find("alice@example.org") == alice
    assert users.find("Alice@example.org") == capital
    assert users.find("ALICE@example.org") == alice


def test_who_is_not_active_gets_no_mail(browser, alice):
    get_user_model().objects.update(is_active=False)
    assert browser.ask(alice.email).status_code == 200
    assert mail.outbox == []


@pytest.mark.parametrize("change", [{"is_active": False}, {"email": "new@example.org"}])
def test_who_was_shut_out_meanwhile_is_not_signed_in(browser, alice, change):
    browser.ask(alice.email)
    code = browser.code()
    get_user_model().objects.update(**change)
    told = browser.type(code)
    assert told.status_code == 403
    assert "You cannot sign in" in told.text
    assert not browser.is_signed_in()


def test_backend_decides_who_may_sign_in(browser, alice, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    browser.ask(alice.email)
    browser.type(browser.code())
    assert browser.session["_auth_user_backend"] == settings.AUTHENTICATION_BACKENDS[0]


def test_user_without_an_address_is_found_by_none(alice):
    get_user_model().objects.create_user("nobody", email="")
    assert users.find("") is None


def test_who_is_signed_in_as_another_changes_over(browser, alice):
    bob = get_user_model().objects.create_user("bob", email="bob@example.org")
    browser.force_login(bob)
    browser.ask(alice.email)
    browser.type(browser.code())
    assert browser.get("/home").text == "alice"
