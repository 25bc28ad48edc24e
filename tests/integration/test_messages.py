import re
from email.utils import parsedate_to_datetime
from uuid import UUID

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils import translation

from otpmail import challenges, references
from otpmail.messages import Letter, code_of, render
from otpmail.models import Delivery
from otpmail.testing import live_code
from tests.mailtemplates import templates

pytestmark = pytest.mark.django_db(transaction=True)


def send(**changes):
    issued = challenges.issue(
        **{"purpose": "sign-in", "subject": "alice", "recipient": "alice@example.org"} | changes
    )
    return issued, mail.outbox[-1]


def parts(letter):
    return letter.body, letter.alternatives[0][0]


def test_code_stands_unbroken_in_the_first_line_of_both_parts():
    issued, letter = send()
    code = live_code(issued.challenge_id)
    text, html = parts(letter)
    assert text.splitlines()[0] == f"{code} is your code."
    visible = re.sub(r"<style>.*?</style>|<title>.*?</title>|<[^>]+>", "", html, flags=re.DOTALL)
    assert visible.strip().splitlines()[0] == f"{code} is your code."


def test_no_code_stands_in_subject_or_headers():
    """Subjects are logged, and shown on lock screens."""
    issued, letter = send()
    code = live_code(issued.challenge_id)
    assert all(code not in value for _, value in letter.message().items())


def test_mail_is_small_and_asks_for_nothing_remote():
    _, letter = send()
    assert len(letter.message().as_bytes()) < 8192
    assert "http" not in parts(letter)[1]
    assert "prefers-color-scheme: dark" in parts(letter)[1]


def test_every_attempt_is_the_same_mail():
    send()
    delivery = Delivery.objects.get()
    code = code_of(delivery.challenge)
    first, second = (render(delivery, delivery.challenge, code).mail.message() for _ in range(2))
    assert first["Message-ID"] == second["Message-ID"] == delivery.message_id
    assert first["Date"] == second["Date"]
    assert abs(parsedate_to_datetime(first["Date"]) - delivery.created_at).total_seconds() < 1


def test_message_id_stands_under_the_senders_domain(settings):
    settings.OTPMAIL_FROM = "Bank <codes@bank.example>"
    _, letter = send()
    assert letter.extra_headers["Message-ID"].endswith("@bank.example>")
    assert letter.from_email == "Bank <codes@bank.example>"


def test_machines_are_told_not_to_answer():
    _, letter = send()
    assert letter.extra_headers["Auto-Submitted"] == "auto-generated"
    assert letter.extra_headers["X-Auto-Response-Suppress"] == "All"
    assert not {"Precedence", "List-Id", "References"} & set(letter.extra_headers)


def test_mails_of_one_challenge_do_not_fold_into_a_thread(pass_time):
    issued, _ = send()
    pass_time(issued.challenge_id, 61)
    challenges.resend("sign-in", issued.challenge_id, subject="alice")
    first, second = (letter.message() for letter in mail.outbox)
    for header in ("X-Entity-Ref-ID", "Message-ID"):
        assert first[header] != second[header]
    threading = {"References", "In-Reply-To", "Thread-Topic", "Thread-Index", "List-Id"}
    assert not threading & {*first, *second}


def test_reference_has_letters_only():
    """A phone offers six figures as the code."""
    issued, _ = send()
    assert references.FORM.fullmatch(issued.reference)
    letters = {references.of(UUID(int=number)) for number in range(16**3)}
    assert len(letters) == 16**3
    assert set("".join(letters)) == set(references.LETTERS)
    assert not set(references.LETTERS) & set("AEIOUYLQ0123456789")


@pytest.mark.parametrize(("local", "zone"), [(True, "+0900"), (False, "+0000")])
def test_date_is_local_if_the_project_says_so(settings, local, zone):
    settings.TIME_ZONE = "Asia/Tokyo"
    settings.EMAIL_USE_LOCALTIME = local
    _, letter = send()
    assert letter.extra_headers["Date"].endswith(zone)


def test_purposes_template_wins_part_by_part(settings):
    settings.TEMPLATES = [templates({"otpmail/sign-in/subject.txt": "Welcome, {{ name }}"})]
    _, letter = send(context={"name": "Alice"})
    assert letter.subject == "Welcome, Alice"
    assert "is your code" in letter.body


def test_name_with_newline_or_markup_does_no_harm(settings):
    settings.TEMPLATES = [
        templates(
            {
                "otpmail/sign-in/subject.txt": "Hi {{ name }}",
                "otpmail/sign-in/body.html": "<p>{{ code }} {{ name }}</p>",
            }
        )
    ]
    _, letter = send(context={"name": "Eve\r\nBcc: all@example.org <script>"})
    assert letter.subject == "Hi Eve Bcc: all@example.org <script>"
    assert letter.message()["Bcc"] is None
    assert "&lt;script&gt;" in parts(letter)[1]


def test_context_cannot_replace_the_code():
    issued, letter = send(context={"code": "000000"})
    assert letter.body.startswith(live_code(issued.challenge_id))


def test_mail_speaks_the_language_of_the_request(settings):
    settings.TEMPLATES = [
        templates(
            {"otpmail/sign-in/subject.txt": "{% load i18n %}{% translate 'Yes' %} {{ language }}"}
        )
    ]
    with translation.override("de"):
        _, letter = send()
    assert letter.subject == "Ja de"


def test_letter_shows_nothing_of_itself():
    assert "123456" not in repr(Letter(mail=EmailMultiAlternatives("123456", "123456")))


def test_plain_text_is_not_escaped(settings):
    settings.TEMPLATES = [templates({"otpmail/sign-in/subject.txt": "Pay {{ payee }}"})]
    _, letter = send(context={"payee": "O'Brien & Sons"})
    assert letter.subject == "Pay O'Brien & Sons"


def test_html_has_a_language_even_without_one():
    with translation.override(None):
        _, letter = send()
    assert 'lang="en"' in parts(letter)[1]


def test_message_id_of_an_international_sender_is_ascii(settings):
    settings.OTPMAIL_FROM = "Bank <codes@bänk.example>"
    _, letter = send()
    assert letter.extra_headers["Message-ID"].endswith("@xn--bnk-qla.example>")
