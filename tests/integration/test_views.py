"""The link in the mail: whoever was sent it can cancel, and nobody else."""

import logging
import re
import sys
from html.parser import HTMLParser
from uuid import uuid4

import pytest
from django.core import mail
from django.core.signals import got_request_exception
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter

from otpmail import challenges
from otpmail.crypto import cancel_link
from otpmail.models import Challenge
from otpmail.testing import live_code

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "https://bank.example"


@pytest.fixture(autouse=True)
def _base(settings):
    settings.OTPMAIL_BASE_URL = BASE


@pytest.fixture
def issued():
    return challenges.issue("sign-in", owner="alice", recipient="alice@example.org")


@pytest.fixture
def reader():
    """Somebody who is signed in nowhere, behind Django's own check of CSRF."""
    return Client(enforce_csrf_checks=True, headers={"host": "localhost"})


@pytest.fixture
def link(issued):
    return link_of(mail.outbox[-1].body)


def link_of(body):
    return re.search(rf"{BASE}(/\S+)", body)[1]


def press(reader, link):
    """Do what the page's script does, and press its button."""
    path, _, token = link.partition("#")
    return reader.post(path, {"token": token})


def state():
    return Challenge.objects.get().state


def test_both_parts_of_the_mail_hold_the_link(issued, link):
    letter = mail.outbox[-1]
    assert f'href="{BASE}{link}"' in letter.alternatives[0][0]
    assert f"Cancel it: {BASE}{link}\n" in letter.body
    assert live_code(issued.challenge_id) in letter.body.splitlines()[0]


def test_without_a_base_address_there_is_no_link(settings):
    settings.OTPMAIL_BASE_URL = ""
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    letter = mail.outbox[-1]
    assert "Cancel it" not in letter.body + letter.alternatives[0][0]


@pytest.mark.parametrize("method", ["get", "head"])
def test_to_look_changes_nothing(reader, link, method):
    """Mail scanners follow every link."""
    with CaptureQueriesContext(connection) as captured:
        assert getattr(reader, method)(link).status_code == 200
    assert not captured.captured_queries
    assert state() == "pending"


def test_the_page_has_one_button_and_nothing_of_elsewhere(reader, link):
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)
    parser.feed(reader.get(link).content.decode())
    assert tags.count("button") == 1
    assert not {"img", "link", "iframe", "a"} & set(tags)


def test_the_button_cancels_once(reader, link, issued, caplog):
    caplog.set_level(logging.INFO, "otpmail")
    answer = press(reader, link)
    assert answer.status_code == 200
    assert issued.reference in answer.content.decode()
    assert state() == "cancelled"
    assert f"cancelled by the link in it challenge={issued.challenge_id}" in caplog.text
    assert "alice@example.org" not in caplog.text
    caplog.clear()
    assert press(reader, link).status_code == 410
    assert "otpmail" not in {record.name for record in caplog.records}


def test_who_comes_after_the_code_was_used_is_told(reader, link, issued):
    code = live_code(issued.challenge_id)
    challenges.verify("sign-in", issued.challenge_id, code, owner="alice")
    answer = press(reader, link)
    assert answer.status_code == 410
    assert "used already" in answer.content.decode()
    assert state() == "confirmed"


def test_link_ends_with_the_challenge(reader, link, issued, pass_time):
    pass_time(issued.challenge_id, 1801)
    assert press(reader, link).status_code == 410
    assert state() == "pending"  # the sweep says what it was: expired


def test_link_of_an_older_code_still_cancels(reader, link, issued, pass_time):
    pass_time(issued.challenge_id, 601)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert press(reader, link).status_code == 200


@pytest.mark.parametrize(
    "bend",
    [
        lambda link: link[:-1],
        lambda link: link.replace(".", ":"),
        lambda link: link.rpartition(".")[0],
        lambda link: link.partition("#")[0] + "#\0",
        lambda link: link.partition("#")[0] + "#.",
        lambda link: link.partition("#")[0],
        lambda link: link.partition("#")[0] + "#\u00e9\U0001f600",
    ],
)
def test_bent_link_leads_to_nothing(reader, link, bend):
    assert press(reader, bend(link)).status_code == 404
    assert state() == "pending"


def test_signed_link_to_nothing_leads_to_nothing(reader, issued):
    assert press(reader, cancel_link.cancel_url(uuid4()).removeprefix(BASE)).status_code == 404


def test_link_signed_before_the_secret_key_was_rotated_still_cancels(reader, link, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    assert press(reader, link).status_code == 200


@pytest.mark.parametrize("method", ["get", "post"])
def test_page_leaves_no_trace(reader, link, method):
    answer = press(reader, link) if method == "post" else reader.get(link)
    assert answer["Cache-Control"] == "no-store"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Robots-Tag"] == "noindex, nofollow"
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert not answer.cookies


def test_other_methods_are_refused(reader, link):
    assert reader.delete(link).status_code == 405
    assert state() == "pending"


def test_whole_link_can_be_pasted(reader, link):
    """By whose browser runs no script."""
    answer = reader.post(link.partition("#")[0], {"token": f" {BASE}{link}\n"})
    assert answer.status_code == 200
    assert state() == "cancelled"


@pytest.mark.parametrize(
    "method", ["get", "head", "post", "put", "patch", "delete", "options", "trace"]
)
@pytest.mark.parametrize("times", [1, 2])
def test_token_is_in_no_line_of_a_log_whatever_the_method(reader, link, method, times, caplog):
    """A browser sends what stands before the '#', and the form its field."""
    caplog.set_level(logging.DEBUG)
    path, _, token = link.partition("#")
    for _ in range(times):
        send = getattr(reader, method)
        answer = press(reader, link) if method == "post" else send(path)
        assert token not in str(answer.headers)
    asked = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert token not in asked
    assert token.partition(".")[2] not in asked


def test_fault_in_the_page_tells_no_token(reader, link, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the database is away")

    token = link.partition("#")[2]
    reader.raise_request_exception = False
    monkeypatch.setattr("otpmail.challenges.cancel", fail)
    seen = []

    def note(request, **_):
        seen.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_text())
        seen.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    got_request_exception.connect(note)
    try:
        assert press(reader, link).status_code == 500
    finally:
        got_request_exception.disconnect(note)
    assert len(seen) == 2
    assert [text for text in seen if token in text or token.partition(".")[2] in text] == []
