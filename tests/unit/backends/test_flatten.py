"""What is written directly is what Django writes, to the byte but for boundaries."""

import re
from datetime import datetime
from email.utils import format_datetime
from types import MethodType

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.functional import lazystr
from hypothesis import given
from hypothesis import strategies as st

from otpmail.addresses.spelling import spell
from otpmail.backends.flatten import flatten
from otpmail.backends.policies import SMTP
from otpmail.backends.translation import as_mail
from tests import corpus
from tests.corpus.mails import Hooked

BOUNDARY = re.compile(rb"={15}\d{19}==")
VARYING = re.compile(rb"\d+|[A-Z][a-z]{2}\b")
"""Of a date or an id that Django makes."""

FROZEN = {"Message-ID": "<1@example.org>", "Date": "Tue, 24 Nov 2026 13:20:10 +0000"}


def letter(cls=EmailMultiAlternatives, /, *, html="<p>Hello", headers=FROZEN, **named):
    message = cls(
        **{"subject": "Hello", "body": "Hello", "from_email": "a@example.org"}
        | {"to": ["b@example.org"], "headers": dict(headers)}
        | named
    )
    if html is not None:
        message.attach_alternative(html, "text/html")
    return message


def of_django(message):
    made = message.message(policy=SMTP) if django.VERSION >= (6, 0) else message.message()
    return made.as_bytes()


def end(write, message):
    """Give the bytes, or the type of what is raised; what is drawn anew each time is left out."""
    try:
        content = write(message)
    except Exception as error:  # noqa: BLE001 - it is compared
        return type(error)
    for name in {"date", "message-id"} - {name.lower() for name in message.extra_headers}:
        field = rb"(?im)^%b:.*(?:\n .*)*" % name.encode()
        content = content and re.sub(field, lambda found: VARYING.sub(b"", found[0]), content)
    return content and BOUNDARY.sub(b"boundary", content)


def assert_same(message):
    """Compare the bytes, or what is raised. Returns whether it was written directly."""
    message = spell(message)
    if (written := end(flatten, message)) is None:
        return False
    assert written == end(of_django, message)
    return True


# Lines that are long or end in blanks, line ends of all kinds, letters of many bytes.
PIECES = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    [
        *("\n", "\r\n", "\r", " \n", "\t\r\n", "\x0b", "\x85", "\u2028", " ", "\t"),
        *("=", ".", "--", "From ", "word " * 20, "x" * 77, "x" * 78, "x" * 79, "x" * 999),
        *("é" * 39, "я" * 50, "码" * 30),
    ]
)
BODIES = st.lists(PIECES, min_size=1, max_size=40).map("".join)
LETTERS = st.characters(exclude_categories=["C", "Z"]) | st.just(" ")
WORDS = st.text(LETTERS, max_size=90) | st.sampled_from(
    ["plain", "", " ", "a  b", " a", "a ", "=?utf-8?q?a?=", "a=?b", "x" * 300, "Größe " * 30]
)
LOCAL = st.from_regex(r"[A-Za-z0-9_+-]{1,30}(\.[a-z]{1,9})?", fullmatch=True)
DOMAIN = st.from_regex(r"[a-z0-9-]{1,40}(\.[a-z0-9-]{1,20}){1,2}", fullmatch=True)
BARE = st.builds("{}@{}".format, LOCAL, DOMAIN) | st.sampled_from(
    ["root", "a@bücher.example", '"a b"@example.org', "jürgen@example.org", "a@[127.0.0.1]"]
)
NAMES = st.text(LETTERS.filter(lambda letter: letter not in '"\\'), max_size=40)
QUOTED, OPEN = (st.builds(form.format, NAMES, BARE) for form in ('"{}" <{}>', "{} <{}>"))
ADDRESSES = BARE | QUOTED | OPEN
IDS = st.builds("<{}@{}>".format, LOCAL, DOMAIN) | WORDS
MOMENTS = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - the strategy adds a zone
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)
DATES = MOMENTS.map(format_datetime) | WORDS | st.just("Mon, 24 Nov 2026 13:20:10 +0000")
ADDED = st.dictionaries(st.sampled_from(["X-Own", "Auto-Submitted", "X-" + "a" * 80]), WORDS)


@given(
    headers=st.fixed_dictionaries({}, optional={"Message-ID": IDS, "date": DATES}),
    added=ADDED,
    named=st.fixed_dictionaries(
        {"subject": WORDS, "body": BODIES, "from_email": ADDRESSES},
        optional={name: st.lists(ADDRESSES, max_size=3) for name in ("to", "cc", "reply_to")},
    ),
    html=st.none() | BODIES,
)
def test_same_bytes_as_djangos(headers, added, named, html):
    assert_same(letter(headers=headers | added, html=html, **named))


@pytest.mark.parametrize(
    "mails", [corpus.by_hand(), corpus.drawn(300, seed=4)], ids=["by hand", "drawn"]
)
def test_mails_of_every_kind_are_the_same(mails):
    for _, make in mails:
        assert_same(make())


USUAL = {
    "text and HTML": letter(),
    "text": letter(EmailMessage, html=None),
    "long lines": letter(html="<p>" + "word " * 100),
    "line of Cyrillic": letter(body="я" * 100),
    "several addressees": letter(to=["a@example.org", "Bob <b@example.org>"], cc=["c@example.org"]),
    "name in UTF-8": letter(subject="Größe", from_email="Jörg <a@example.org>"),
    "other domain": letter(from_email="a@bücher.example"),
    "long subject": letter(subject="word " * 40),
    "no id and no date": letter(headers={}),
    "added header": letter(headers=FROZEN | {"X-Own": "words"}),
}


@pytest.mark.parametrize("message", USUAL.values(), ids=USUAL)
def test_usual_mail_is_written_directly(message):
    assert assert_same(message)


def with_own_method():
    message = letter()
    message.message = MethodType(EmailMessage.message, message)
    return message


def with_attribute(name, value):
    message = letter()
    setattr(message, name, value)
    return message


def with_attachment():
    message = letter()
    message.attach("a.txt", "text", "text/plain")
    return message


OTHERS = {
    "class of its own": letter(Hooked),
    "method of its own": with_own_method(),
    "attachment": with_attachment(),
    "calendar": with_attribute("content_subtype", "calendar"),
    "other charset": with_attribute("encoding", "iso-8859-1"),
    "related": with_attribute("alternative_subtype", "related"),
    "lazy subject": letter(subject=lazystr("Hello")),
    "lazy address": letter(to=[lazystr("b@example.org")]),
    "sender in the headers": letter(headers=FROZEN | {"From": "c@example.org"}),
    "header of a structure": letter(headers=FROZEN | {"Resent-To": "c@example.org"}),
    "header twice": letter(headers=FROZEN | {"date": FROZEN["Date"]}),
    "header that is no text": letter(headers=FROZEN | {"X-Own": 7}),
    "line break": letter(subject="a\nBcc: eve@example.org"),
    "surrogate": letter(body="a\udce9"),
    "HTML without text": letter(body=""),
}


@pytest.mark.parametrize("message", OTHERS.values(), ids=OTHERS)
def test_any_other_mail_is_djangos(message):
    assert flatten(message) is None


def test_each_mail_has_a_boundary_of_its_own():
    assert as_mail(letter()).content != as_mail(letter()).content


def test_name_that_needs_smtputf8_is_written_in_utf8():
    content = as_mail(letter(to=["jürgen@example.org"])).content
    if django.VERSION >= (6, 0):
        assert "To: jürgen@example.org".encode() in content
