import re
import struct
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from uuid import UUID

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone, translation
from django.utils.translation import trans_real

from otpmail import challenges
from otpmail.crypto.challenge_codes import code_of
from otpmail.db import database
from otpmail.delivery import rendering
from otpmail.delivery.rendering import RenderedMessage, render
from otpmail.display import references
from otpmail.models import Challenge, Delivery
from otpmail.testing import live_code
from tests import orders as order_facts
from tests.mailtemplates import templates

pytestmark = pytest.mark.django_db(transaction=True)


def send(**changes):
    issued = challenges.issue(
        **{"purpose": "sign-in", "owner": "alice", "recipient": "alice@example.org"} | changes
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
    """Owners are logged, and shown on lock screens."""
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
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
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


def test_names_that_are_reserved_are_those_that_templates_are_given():
    """And no context replaces one, were it written into the row."""
    issued, _ = send()
    challenge = Challenge.objects.get(pk=issued.challenge_id)
    challenge.context = dict.fromkeys(rendering.RESERVED, "000000")
    delivery = Delivery.objects.get(challenge=challenge)
    assert (
        live_code(challenge.pk)
        in rendering.render(delivery, challenge, live_code(challenge.pk)).mail.body
    )
    ours = rendering._context(delivery, challenge, {})
    given = {name for name, value in ours.items() if value != "000000"}
    assert given | {"code", "True", "False", "None", "block", "forloop"} == rendering.RESERVED


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
    assert "123456" not in repr(RenderedMessage(mail=EmailMultiAlternatives("123456", "123456")))


PLAIN = [
    templates({"otpmail/sign-in/subject.txt": "Pay {{ payee|title }}"}),
    {
        "NAME": "other",
        "BACKEND": "tests.escaping.Engine",
        "DIRS": [],
        "APP_DIRS": False,
        "OPTIONS": {"otpmail/sign-in/subject.txt": "Pay $payee"},
    },
]


@pytest.mark.parametrize("engine", PLAIN, ids=["Django's", "another engine"])
def test_plain_text_is_not_escaped(settings, engine):
    settings.TEMPLATES = [engine, templates({}) | {"NAME": "last"}]
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


# For how long, until when


@pytest.mark.parametrize(
    ("zone", "clock"),
    [
        ("Europe/Berlin", "14:15 CET"),
        ("America/New_York", "08:15 EST"),
        ("Asia/Kolkata", "18:45 IST"),
        ("America/Sao_Paulo", "10:15 UTC-03"),
        ("UTC", "13:15 UTC"),
    ],
)
def test_mail_tells_for_how_long_and_until_when_by_the_persons_clock(monkeypatch, zone, clock):
    monkeypatch.setattr(database, "as_time", lambda _: datetime(2026, 1, 5, 13, 5, tzinfo=UTC))
    with timezone.override(zone):
        _, letter = send()
    for part in parts(letter):
        assert f"It is good for 10 minutes, until {clock}, once." in part


def test_zone_without_a_name_is_kept_by_its_offset(monkeypatch):
    monkeypatch.setattr(database, "as_time", lambda _: datetime(2026, 1, 5, 13, 5, tzinfo=UTC))
    with timezone.override(timezone.get_fixed_timezone(330)):
        _, letter = send()
    assert "until 18:45 UTC+05:30, once" in letter.body


@pytest.mark.parametrize(
    ("hour", "clock"), [(0, "02:35 CEST"), (1, "02:35 CET")], ids=["first", "second"]
)
def test_hour_that_comes_twice_is_told_apart(monkeypatch, hour, clock):
    monkeypatch.setattr(database, "as_time", lambda _: datetime(2026, 10, 25, hour, 25, tzinfo=UTC))
    with timezone.override("Europe/Berlin"):
        _, letter = send()
    assert f"until {clock}, once" in letter.body


def test_projects_own_templates_are_in_the_persons_zone_too(settings, monkeypatch):
    settings.TEMPLATES = [
        templates({"otpmail/sign-in/subject.txt": "{{ expires_at|date:'H:i' }} {{ minutes }}"})
    ]
    monkeypatch.setattr(database, "as_time", lambda _: datetime(2026, 1, 5, 13, 5, tzinfo=UTC))
    with timezone.override("Asia/Tokyo"):
        _, letter = send()
    assert letter.subject == "22:15 10"


def test_resent_mail_tells_what_is_left(pass_time):
    issued, _ = send()
    pass_time(issued.challenge_id, 185)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert "It is good for 6 minutes, until " in mail.outbox[-1].body


# Language


@pytest.fixture
def catalogues(settings, tmp_path):
    """A project that has our words in French and in Hebrew."""
    words = {"fr": "%(code)s est votre code.", "he": "%(code)s הוא הקוד שלך."}
    for language, sentence in words.items():
        folder = tmp_path / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        catalogue = {"": "Content-Type: text/plain; charset=UTF-8\n"}
        catalogue["%(code)s is your code."] = sentence
        (folder / "django.mo").write_bytes(compiled(catalogue))
    settings.LOCALE_PATHS = [str(tmp_path)]
    trans_real._translations.clear()
    yield
    trans_real._translations.clear()


def compiled(catalogue):
    """Write a catalogue as GNU gettext reads it."""
    pairs = sorted((key.encode(), value.encode()) for key, value in catalogue.items())
    start, texts, table = 28 + 16 * len(pairs), b"", [[], []]
    for which in (0, 1):
        for pair in pairs:
            table[which] += [len(pair[which]), start + len(texts)]
            texts += pair[which] + b"\0"
    head = [0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0]
    return struct.pack(f"<{7 + 4 * len(pairs)}I", *head, *table[0], *table[1]) + texts


@pytest.mark.parametrize(
    ("active", "default", "tag"),
    [
        ("fr", "en-us", 'lang="fr" dir="ltr"'),
        ("he", "en-us", 'lang="he" dir="rtl"'),
        ("de", "en-us", 'lang="en" dir="ltr"'),  # of which there is no catalogue
        ("ar", "en-us", 'lang="en" dir="ltr"'),
        ("en-gb", "en-us", 'lang="en" dir="ltr"'),
        (None, "fr", 'lang="en" dir="ltr"'),
        ("de", "fr", 'lang="fr" dir="ltr"'),
        ("de", "he", 'lang="he" dir="rtl"'),
    ],
)
def test_language_and_direction_are_those_of_the_words_that_are_shown(
    catalogues, settings, active, default, tag
):
    settings.LANGUAGE_CODE = default
    trans_real._translations.clear()
    with translation.override(active):
        _, letter = send()
    html = parts(letter)[1]
    assert f"<html {tag}>" in html
    shown = {"fr": "est votre code", "he": "הוא הקוד", "en": "is your code"}
    assert shown[tag[6:8]] in letter.body


# Context


def test_context_is_one_line_of_plain_text(settings):
    settings.TEMPLATES = [templates({"otpmail/sign-in/body.txt": "{{ code }} [{{ name }}]"})]
    _, letter = send(context={"name": "Eve\r\n\u202eCode: 000000\u2028\u200b\x00"})
    assert letter.body.endswith("[Eve Code: 000000]\n")


def test_text_of_a_fact_is_one_line_of_plain_text(settings, orders):
    settings.TEMPLATES = [templates({"otpmail/order/body.txt": "{{ code }} [{{ payee }}]"})]
    facts = {**order_facts.place(), "payee": "Eve\n\u202eBob"}
    order_facts.ORDER.update(facts)
    _, letter = send(purpose="order", facts=facts)
    assert letter.body.endswith("[Eve Bob]\n")


@pytest.mark.parametrize("wanted", [True, False])
def test_code_stands_in_a_subject_only_if_the_project_says_so(settings, wanted):
    settings.OTPMAIL_CODE_IN_SUBJECT = wanted
    settings.TEMPLATES = [templates({"otpmail/sign-in/subject.txt": "Code {{ code }}"})]
    issued, letter = send()
    code = live_code(issued.challenge_id)
    assert letter.subject == (f"Code {code}" if wanted else "Code")
