"""What Anymail reads of a mail that was kept is what it would have read of the mail itself."""

from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from anymail.backends.test import EmailBackend
from anymail.message import AnymailMessage
from django.core.mail import EmailMultiAlternatives
from django.core.mail.message import EmailAlternative
from django.utils import timezone as zones
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy

from otpmail.backends.roundtrip import check_roundtrip
from otpmail.delivery import rendering, serialization
from tests.corpus.mails import CONTENTS, Heading, inline, mail
from tests.corpus.parts import parts

NAIVE = datetime(2026, 12, 1, 8)  # noqa: DTZ001 - its zone is the caller's

ADDITIONS = {
    "nothing": {},
    "envelope_sender": {"envelope_sender": "Bounces <bounces@example.org>"},
    "lazy envelope_sender": {"envelope_sender": gettext_lazy("bounces@example.org")},
    "metadata": {"metadata": {"order": 7, "paid": True, "of": 1.5, "lazy": gettext_lazy("Hello")}},
    "metadata of other types": {
        "metadata": {"sum": Decimal("1.50"), "day": date(2026, 11, 24), "at": NAIVE}
    },
    "metadata that is no dict": {"metadata": OrderedDict(a=1)},
    "no metadata": {"metadata": None},
    "merge_data": {
        "merge_data": {"bob@example.org": {"name": "Bob", "sum": Decimal(5), 7: (1, 2)}}
    },
    "merge_global_data": {"merge_global_data": {"day": date(2026, 11, 24), "all": {"a": [None]}}},
    "merge_metadata": {"merge_metadata": {"bob@example.org": {"id": 7}}},
    "merge_headers": {"merge_headers": {"bob@example.org": {"X-Own": gettext_lazy("Hello")}}},
    "empty merge_data": {"merge_data": {}},
    "tags": {"tags": ["a", gettext_lazy("Hello")]},
    "a tuple of tags": {"tags": ("a", "b")},
    "tags that are drawn": {"tags": (tag for tag in "ab")},
    "template": {"template_id": 7, "track_opens": False, "track_clicks": True},
    "no tracking": {"track_opens": None, "template_id": gettext_lazy("welcome")},
    "esp_extra": {"esp_extra": {"ip_pool": "a", "deep": {"t": (1, 2), 3: {"s"}, "b": b"\xff"}}},
    "moment": {"send_at": datetime(2026, 12, 1, 8, tzinfo=timezone(timedelta(hours=3)))},
    "moment in a zone": {"send_at": datetime(2026, 12, 1, 8, tzinfo=ZoneInfo("Asia/Tokyo"))},
    "naive moment": {"send_at": NAIVE},
    "day": {"send_at": date(2026, 12, 1)},
    "timestamp": {"send_at": 1796000000},
    "fraction": {"send_at": 1796000000.5},
    "words": {"send_at": "in two hours"},
    "sets of sets": {"esp_extra": {"s": {frozenset({1})}, frozenset({"a"}): (frozenset(),)}},
}

OF_A_TEMPLATE = {
    "no sender": {"from_email": None},
    "no subject": {"subject": None},
    "no body": {"body": None},
    "nothing": {"from_email": None, "subject": None, "body": None},
    "no lists": {"attachments": None, "alternatives": None, "reply_to": None},
    "no sender, and data": {"from_email": None, "merge_data": {"bob@example.org": {"name": "B"}}},
    "no sender, and what is no text": {"from_email": None, "subject": 7},
    "no subject, and a lazy sender": {"from_email": gettext_lazy("a@b.org"), "subject": None},
}
"""What Anymail's docs have a mail leave out, so that the template gives it."""

PROVIDERS = {
    "postmark": {"server_token": "a"},
    "mailgun": {"api_key": "a", "sender_domain": "example.org"},
    "mailjet": {"api_key": "a", "secret_key": "b"},
    "brevo": {"api_key": "a"},
    "sparkpost": {"api_key": "a"},
    "mandrill": {"api_key": "a"},
    "mailersend": {"api_token": "a"},
}

ONCE = {
    "attachments": lambda: [("a.txt", "text", "text/plain"), ("b.pdf", b"%PDF", "application/pdf")],
    "alternatives": lambda: [EmailAlternative("<p>Hello</p>", "text/html")],
    "tags": lambda: ["a", "b"],
    "reply_to": lambda: ["c@example.org", "d@example.org"],
}
"""What a mail may hold in an iterator."""


def read(message):
    """Give what Anymail's payload is made of."""
    payload = EmailBackend(alias="test").build_message_payload(message, {})
    params = payload.get_params()
    params["attachments"] = [vars(one) for one in params.get("attachments", ())]
    return params


def without(params):
    """Leave out what is frozen, and what of an attachment is its object's alone."""
    attachments = [
        (one["name"], one["mimetype"], bytes_of(one["content"]), one["inline"], one["content_id"])
        for one in params["attachments"]
    ]
    headers = {n: v for n, v in params.get("extra_headers", {}).items() if n not in FROZEN}
    return {**params, "attachments": attachments, "extra_headers": headers}


FROZEN = {"Date", "Message-ID"}


def bytes_of(value):
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


def make(**additions):
    return mail(AnymailMessage, alternatives=[("<p>Hello</p>", "text/html")], **additions)


@pytest.mark.parametrize("additions", ADDITIONS.values(), ids=ADDITIONS)
def test_anymail_reads_the_same(additions):
    message = make(**{name: thawed(value) for name, value in additions.items()})
    with zones.override(ZoneInfo("America/New_York")):
        kept = serialization.deserialize(check_roundtrip(message).text)
        direct = read(make(**{name: thawed(value) for name, value in additions.items()}))
    assert without(read(kept)) == without(direct)


def payload(provider, message):
    """Give what a provider would be told, but for what is frozen."""
    backend = import_string(f"anymail.backends.{provider}.EmailBackend")
    message.extra_headers = {}
    return vars(backend(**PROVIDERS[provider], alias="a").build_message_payload(message, {}))[
        "data"
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fields", OF_A_TEMPLATE.values(), ids=OF_A_TEMPLATE)
def test_providers_are_told_the_same_of_a_template(provider, fields):
    def made():
        message = mail(AnymailMessage, template_id="7", merge_global_data={"a": "b"})
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    kept = serialization.deserialize(check_roundtrip(made()).text)
    for name in {"from_email", "subject", "body"} & fields.keys():
        assert getattr(kept, name) == fields[name]
    assert payload(provider, kept) == payload(provider, made())


@pytest.mark.parametrize("cls", [AnymailMessage, Heading])
@pytest.mark.parametrize("name", ONCE)
def test_what_can_be_read_once_is_kept(cls, name):
    message = mail(cls)
    setattr(message, name, iter(ONCE[name]()))
    kept = serialization.deserialize(check_roundtrip(message).text)
    assert [*map(tuple, getattr(kept, name))] == [*map(tuple, ONCE[name]())]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject", "Hello"),
        ("body", "Hello"),
        ("from_email", "alice@example.org"),
        ("metadata", {"order": 7, "deep": [{"a": None}]}),
        ("tags", ["a"]),
        ("template_id", 7),
        ("send_at", datetime(2026, 12, 1, tzinfo=UTC)),
        ("esp_extra", {"a": {1, 2}, "b": b"octets"}),
    ],
)
def test_proxy_is_kept_as_what_it_stands_for(name, value):
    message = mail(AnymailMessage)
    setattr(message, name, SimpleLazyObject(lambda: SimpleLazyObject(lambda: value)))
    back = getattr(serialization.deserialize(check_roundtrip(message).text), name)
    assert (type(back), back) == (type(value), value)


def test_proxies_within_are_kept_as_what_they_stand_for():
    message = mail(AnymailMessage)
    message.metadata = {SimpleLazyObject(lambda: "a"): [SimpleLazyObject(lambda: 7)]}
    assert serialization.deserialize(check_roundtrip(message).text).metadata == {"a": [7]}


def thawed(value):
    """Give what can be read once a second time."""
    return [*"ab"] if hasattr(value, "gi_frame") else value


def test_tags_are_taken_from_whatever_gives_them():
    message = make(tags=(tag for tag in "ab"))
    assert serialization.deserialize(check_roundtrip(message).text).tags == ["a", "b"]


def test_additions_on_a_plain_mail_are_read_the_same():
    message = mail(EmailMultiAlternatives)
    message.send_at, message.tags = datetime(2026, 12, 1, tzinfo=UTC), ["a"]
    assert without(read(serialization.deserialize(check_roundtrip(message).text))) == without(
        read(message)
    )


@pytest.mark.parametrize("name", ["octets", "memoryview", "bytearray", "text", "name in utf-8"])
def test_attachments_are_read_the_same(name):
    kept = serialization.deserialize(check_roundtrip(make(attachments=[CONTENTS[name]()])).text)
    assert without(read(kept)) == without(read(make(attachments=[CONTENTS[name]()])))


@pytest.mark.parametrize("name", ["MIMEImage", "MIMEApplication"])
def test_parts_are_read_the_same(name):
    kept = serialization.deserialize(check_roundtrip(make(attachments=[parts()[name]()])).text)
    assert without(read(kept)) == without(read(make(attachments=[parts()[name]()])))


def test_inline_images_are_read_the_same():
    assert without(read(serialization.deserialize(check_roundtrip(inline()).text))) == without(
        read(inline())
    )


@pytest.mark.parametrize("metadata", [None, {"order": 7}, OrderedDict(order=7)])
def test_each_mail_is_marked_beside_its_own_metadata(metadata):
    kept = serialization.deserialize(check_roundtrip(make(metadata=metadata)).text)
    marked = rendering.marked(kept, "an id")
    assert marked.metadata == {**(metadata or {}), rendering.METADATA: "an id"}
