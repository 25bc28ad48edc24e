"""Who can read a member's mail is signed in, and nobody else; each result is answered."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db.models import F

from otpmail import challenges
from otpmail.exceptions import NotHereError
from otpmail.models import Challenge, ChallengeState
from tests.integration.signin.conftest import AT, Browser, other_than

pytestmark = pytest.mark.django_db(transaction=True)


def test_code_from_the_mail_signs_in(browser, alice):
    page = browser.ask("alice@example.org")
    assert page.status_code == 200
    assert 'autocomplete="one-time-code"' in page.text
    (sent,) = mail.outbox
    (code,) = re.findall(r"^(\d{8}) is your code\.$", sent.body, re.MULTILINE)
    assert "You asked for it to sign in." in sent.body
    done = browser.type(code)
    assert (done.status_code, done["Location"]) == (302, "/home")
    assert browser.get("/home").text == "alice"


def test_session_gets_a_new_key_at_sign_in(browser, alice):
    browser.ask(alice.email)
    before = browser.session.session_key
    browser.type(browser.code())
    assert browser.session.session_key != before


def test_who_was_led_here_is_led_back(browser, alice):
    asked = browser.get("/home", follow=True)
    assert 'name="next" value="/home"' in asked.text
    browser.ask(alice.email, next="/home?of=today")
    assert browser.type(browser.code())["Location"] == "/home?of=today"


@pytest.mark.parametrize("following", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_nobody_is_led_to_another_host(browser, alice, following):
    assert "evil" not in browser.get(AT, {"next": following}).text
    browser.ask(alice.email, next=following)
    assert browser.type(browser.code())["Location"] == "/home"


def test_wrong_code_costs_a_guess_and_is_not_shown_again(browser, alice):
    browser.ask(alice.email)
    typed = other_than(browser.code())
    page = browser.type(typed)
    assert page.status_code == 400
    assert "That is not the code. 4 guesses are left." in page.text
    assert 'aria-describedby="code-hint code-error" aria-invalid="true"' in page.text
    assert typed not in page.text
    assert browser.type(browser.code()).status_code == 302


@pytest.mark.parametrize("typed", ["", "1234", "twelve", "1" * 10_000])
def test_what_is_no_code_costs_nothing(browser, alice, typed):
    browser.ask(alice.email)
    assert "The code has 8 digits." in browser.type(typed).text
    assert browser.challenge().failures == 0


def test_last_wrong_code_ends_the_request_and_another_can_be_had(browser, alice):
    browser.ask(alice.email)
    page, code = browser.page(), browser.code()
    for _ in range(5):
        told = browser.type(other_than(code))
    assert told.status_code == 410
    assert "Too many wrong codes" in told.text
    assert 'name="code"' not in told.text
    assert browser.type(code, page).status_code == 410
    browser.ask(alice.email)
    assert browser.type(browser.code()).status_code == 302


def test_expired_code_is_told_and_a_new_one_can_be_had(browser, alice, pass_time):
    browser.ask(alice.email)
    code = browser.code()
    pass_time(browser.challenge().pk, 601)
    told = browser.type(code)
    assert told.status_code == 410
    assert "This code has expired" in told.text
    assert "Send a new code" in told.text
    assert "One more mail is on its way" in browser.resend(follow=True).text
    assert browser.type(browser.code()).status_code == 302


def test_request_that_is_long_over_is_begun_anew(browser, alice, pass_time):
    browser.ask(alice.email)
    pass_time(browser.challenge().pk, 7200)
    assert "Begin anew" in browser.get(browser.page()).text
    assert browser.resend().status_code in {410, 429}


def test_resend_waits_for_its_time_and_keeps_the_code(browser, alice, pass_time):
    assert "Send another mail" in browser.ask(alice.email).text
    code = browser.code()
    early = browser.resend()
    assert early.status_code == 429
    assert "You can ask for another mail from" in early.text
    assert len(mail.outbox) == 1
    pass_time(browser.challenge().pk, 61)
    assert "One more mail is on its way" in browser.resend(follow=True).text
    assert len(mail.outbox) == 2
    assert browser.type(code).status_code == 302


def test_mails_of_a_request_come_to_an_end(browser, alice, pass_time, settings):
    settings.OTPMAIL_PURPOSES = {"signin": {"SENDS": 1, "GENERATIONS": 1}}
    browser.ask(alice.email)
    pass_time(browser.challenge().pk, 61)
    told = browser.resend()
    assert told.status_code == 429
    assert "Begin anew" in told.text


def test_code_of_an_older_mail_is_told_as_that(browser, alice, pass_time, settings):
    settings.OTPMAIL_PURPOSES = {"signin": {"ROTATE": True}}
    browser.ask(alice.email)
    older = browser.code()
    pass_time(browser.challenge().pk, 61)
    browser.resend()
    assert "That code is of an older mail." in browser.type(older).text


def test_asking_twice_comes_to_one_code(browser, alice):
    browser.ask(alice.email)
    page = browser.page()
    again = browser.ask(alice.email)
    assert "A code was mailed a moment ago" in again.text
    assert browser.page() == page
    assert len(mail.outbox) == 1


def test_address_that_was_mistyped_is_corrected(browser, alice):
    page = browser.ask("alcie@example.org", next="/home?of=today").text
    (link,) = re.findall(r'href="([^"]+\?of=[^"]+)"', page)
    form = browser.get(link).text
    assert 'value="alcie@example.org"' in form
    assert 'value="/home?of=today"' in form


@pytest.mark.parametrize("email", ["", "alice", "alice@", "a\x00b@example.org", "x" * 5000])
def test_what_is_no_address_is_told_and_kept_in_the_field(browser, alice, email):
    told = browser.ask(email)
    assert told.status_code == 400
    assert "No mail can be sent to this address." in told.text
    assert 'aria-describedby="email-hint email-error" aria-invalid="true"' in told.text


def test_too_many_mails_are_told_with_the_time(browser, alice, settings):
    settings.OTPMAIL_RECIPIENT_QUOTA = [1, 1]
    Browser().ask(alice.email)
    told = browser.ask(alice.email)
    assert told.status_code == 429
    assert re.search(r"Ask again from \d\d:\d\d:\d\d UTC", told.text)


def test_each_tab_has_a_code_of_its_own(browser, alice):
    bob = get_user_model().objects.create_user("bob", email="bob@example.org")
    browser.ask(alice.email)
    first, code = browser.page(), browser.code()
    browser.ask(bob.email)
    other = browser.type(code)
    assert f"another request of yours, {browser.challenge(first).reference}" in other.text
    browser.type(code, first)
    assert browser.get("/home").text == "alice"


def test_other_tabs_of_who_is_signed_in_are_done_with(browser, alice):
    browser.ask("bob@example.org")
    other = browser.page()
    browser.ask(alice.email)
    page, code = browser.page(), browser.code()
    browser.type(code)
    for left in (other, page):
        assert "You are signed in" in browser.get(left).text
        assert browser.type(code, left).status_code == 404
    assert not Challenge.objects.filter(state=ChallengeState.PENDING).exists()


def test_another_browser_has_no_share_in_it(browser, alice):
    browser.ask(alice.email)
    page, code = browser.page(), browser.code()
    other = Browser()
    other.ask("mallory@example.org")
    for one in (other, Browser()):
        assert one.get(page).status_code == 404
        assert "belongs to another browser" in one.type(code, page).text
        assert one.resend(page).status_code == 404
        assert one.get(f"{page}/progress").status_code == 404
        assert not one.is_signed_in()
    assert browser.challenge().failures == 0
    assert browser.type(code).status_code == 302


def test_what_scans_links_uses_nothing_up(browser, alice):
    browser.ask(alice.email)
    page, code = browser.page(), browser.code()
    for scanner in (browser, Browser()):
        for path in (page, f"{page}?code={code}&do=resend", f"{page}/progress", AT):
            scanner.get(path)
            scanner.head(path)
    assert len(mail.outbox) == 1
    assert not browser.is_signed_in()
    assert browser.type(code).status_code == 302


def test_other_methods_are_refused(browser, alice):
    browser.ask(alice.email)
    assert browser.put(browser.page()).status_code == 405
    assert browser.delete(AT).status_code == 405


def test_pages_are_kept_by_no_cache(browser, alice):
    for page in (browser.get(AT), browser.ask(alice.email), browser.get(f"{browser.page()}x")):
        assert page.status_code == 404 or "no-store" in page["Cache-Control"]


def test_form_that_was_not_ours_is_refused(alice):
    browser = Browser(enforce_csrf_checks=True)
    assert browser.post(AT, {"email": alice.email}).status_code == 403
    assert mail.outbox == []


def test_pages_need_no_script_and_no_inline_style(browser, alice):
    for page in (browser.get(AT), browser.ask(alice.email)):
        assert not re.search(r"<style|\sstyle=|<script(?! src=)|\son\w+=", page.text)


def test_progress_tells_the_line_of_the_mail(browser, alice):
    browser.ask(alice.email)
    told = browser.get(f"{browser.page()}/progress").json()
    assert told["tone"] == "wait"
    assert alice.email in told["more"]
    assert told["poll_after_ms"]


def test_slow_mail_is_told(browser, alice, monkeypatch):
    monkeypatch.setattr("otpmail.challenges.mail_progress.is_slow", lambda purpose: True)
    assert "Mail is slow just now" in browser.ask(alice.email).text


def test_cancelled_by_the_reader_of_the_mail_is_told(browser, alice):
    browser.ask(alice.email)
    mine = browser.challenge()
    challenges.cancel("signin", mine.pk, owner=mine.owner)
    assert "This request was cancelled" in browser.get(browser.page()).text


def test_key_that_is_away_costs_nothing(browser, alice, monkeypatch):
    browser.ask(alice.email)
    code = browser.code()

    def away(*_):
        raise NotHereError

    with monkeypatch.context() as patch:
        patch.setattr("otpmail.crypto.keys.find", away)
        told = browser.type(code)
    assert told.status_code == 503
    assert "a code that you have is still good" in told.text
    assert browser.type(code).status_code == 302


def test_requests_in_a_transaction_sign_in_all_the_same(browser, alice, settings):
    from django.db import connection

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        browser.ask(alice.email)
        browser.type(other_than(browser.code()))
        assert browser.challenge().failures == 1
        assert browser.type(browser.code()).status_code == 302
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


def test_request_of_a_row_that_is_deleted_is_over(browser, alice):
    browser.ask(alice.email)
    challenges.cancel_all(owner=browser.challenge().owner)
    page = browser.page()
    Challenge.objects.filter(pk=browser.challenge().pk).update(
        purpose="another", created_at=F("created_at") - timedelta(days=40)
    )
    assert browser.get(page).status_code == 404
