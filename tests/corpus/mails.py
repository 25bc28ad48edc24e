"""What is attached, and mails of classes that do as they like."""

from array import array
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from email import policy
from email.charset import QP, Charset
from email.message import EmailMessage as Modern
from email.message import Message
from typing import Any

from anymail.message import AnymailMessage, attach_inline_image
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from tests.corpus.parts import GIF, MIXED, PDF, SIGNED, parsed
from tests.corpus.values import CAFE, FIXED, LONG

type Make = Callable[[], EmailMessage]


def mail(cls: Any = EmailMultiAlternatives, /, **named: Any) -> Any:
    """Make a mail; what it is not told is plain."""
    after = {name: named.pop(name) for name in [*named] if name in AFTERWARDS}
    usual = {"subject": "Hello", "body": "Hello\n", "from_email": "alice@example.org"}
    made = cls(**usual | {"to": ["bob@example.org"]} | named)
    for name, value in after.items():
        setattr(made, name, value)
    return made


AFTERWARDS = {"content_subtype", "encoding", "mixed_subtype", "alternative_subtype", "attachments"}


def inner() -> EmailMessage:
    """Make a mail to attach."""
    return mail(subject="Größe", body=CAFE, headers=FIXED)


def modern() -> Modern:
    """Make a message to attach as Python has it now."""
    return parsed(Modern, MIXED, policy=policy.SMTP)  # type: ignore[no-any-return]


def some() -> list[tuple[Any, ...]]:
    """Give attachments of two kinds."""
    return [("a.pdf", PDF, "application/pdf"), ("a.txt", CAFE, "text/plain")]


CALENDAR = "text/calendar; method=REQUEST"

CONTENTS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "octets": lambda: ("a.pdf", PDF, "application/pdf"),
    "no octets": lambda: ("a.bin", b"", "application/octet-stream"),
    "memoryview": lambda: ("a.pdf", memoryview(PDF), "application/pdf"),
    "bytearray": lambda: ("a.pdf", bytearray(PDF), "application/pdf"),
    "a memoryview of text": lambda: ("a.txt", memoryview(b"text"), "text/plain"),
    "array": lambda: ("a.pdf", array("B", PDF), "application/pdf"),
    "array of numbers": lambda: ("a.bin", array("H", [1, 2]), "application/octet-stream"),
    "text": lambda: ("a.txt", CAFE, "text/plain"),
    "long lines": lambda: ("a.csv", "a;" * 600, "text/csv"),
    "line ends": lambda: ("a.txt", "a\r\nb\rc\nd", "text/plain"),
    "text as octets": lambda: ("a.txt", CAFE.encode(), "text/plain"),
    "text that is none": lambda: ("a.txt", b"caf\xe9", "text/plain"),
    "text as a document": lambda: ("a.json", '{"a": "é"}', "application/json"),
    "number": lambda: ("a.bin", 7, "application/octet-stream"),
    "decimal": lambda: ("a.bin", Decimal("1.50"), "application/octet-stream"),
    "day": lambda: ("a.bin", date(2026, 11, 24), "application/octet-stream"),
    "lazy text": lambda: ("a.txt", gettext_lazy("Hello"), "text/plain"),
    "proxy of text": lambda: ("a.txt", SimpleLazyObject(lambda: CAFE), "text/plain"),
    "proxy of octets": lambda: ("a.pdf", SimpleLazyObject(lambda: PDF), "application/pdf"),
    "proxy of a name": lambda: (SimpleLazyObject(lambda: "a.txt"), "text", "text/plain"),
    "lazy name": lambda: (gettext_lazy("a.txt"), "text", "text/plain"),
    "lazy type": lambda: ("a.txt", "text", gettext_lazy("text/plain")),
    "safe": lambda: (mark_safe("a.html"), mark_safe("<p>"), "text/html"),
    "no name": lambda: (None, PDF, "application/pdf"),
    "empty name": lambda: ("", PDF, "application/pdf"),
    "name in utf-8": lambda: ("Größe.pdf", PDF, "application/pdf"),
    "long name": lambda: ("ä" * 120 + ".pdf", PDF, "application/pdf"),
    "long plain name": lambda: ("a" * 120 + ".pdf", PDF, "application/pdf"),
    "quoted name": lambda: ('a "b"; c=d\\e.pdf', PDF, "application/pdf"),
    "name in two lines": lambda: ("a\nX: y.pdf", PDF, "application/pdf"),
    "type with a parameter": lambda: ("a.ics", "BEGIN:VCALENDAR\r\n", CALENDAR),
    "mail": lambda: ("a.eml", inner(), "message/rfc822"),
    "mail as text": lambda: ("a.eml", "Subject: a\n\ncaf=E9\n", "message/rfc822"),
    "mail as octets": lambda: ("a.eml", b"Subject: a\r\nX:b\r\n\r\nbody\r\n", "message/rfc822"),
    "mail in eight bits": lambda: (None, b"Subject: a\n\ncaf\xc3\xa9\n", "message/rfc822"),
    "mail as a message": lambda: ("a.eml", parsed(Message, MIXED), "message/rfc822"),
    "mail as it is now": lambda: ("a.eml", modern(), "message/rfc822"),
    "report": lambda: (None, b"Reporting-MTA: dns; a\n\n", "message/delivery-status"),
    "file": lambda: ("a.unknown", b"\x00", "x-own/x-own"),
}  # fmt: skip

ALTERNATIVES: dict[str, list[tuple[Any, Any]]] = {
    "html": [("<p>Hello</p>\n", "text/html")],
    "html in utf-8": [("<p>café 👍</p>\n", "text/html")],
    "safe": [(mark_safe("<p>é</p>"), "text/html")],
    "long": [("<p>" + "é" * LONG + "</p>", "text/html")],
    "octets": [("<p>café</p>".encode(), "text/html")],
    "two": [("<p>a</p>", "text/html"), ("<p>b</p>", "text/html")],
    "amp": [("<html ⚡4email>", "text/x-amp-html"), ("<p>a</p>", "text/html")],
    "calendar": [("<p>a</p>", "text/html"), ("BEGIN:VCALENDAR\r\n", "text/calendar")],
    "document": [(PDF, "application/pdf")],
    "document as text": [('{"a": "é"}', "application/json")],
    "memoryview": [(memoryview(PDF), "application/pdf")],
    "lazy": [(gettext_lazy("Hello"), "text/html")],
}


class Filtering(EmailMultiAlternatives):
    def recipients(self) -> list[str]:
        return [one for one in super().recipients() if "blocked" not in one]


class Heading(EmailMultiAlternatives):
    def message(self, **named: Any) -> Any:
        made = super().message(**named)
        made["X-Own"] = "of the class"
        return made


class Wrapping(EmailMultiAlternatives):
    """Wraps its message in a part of its own, as a class that signs does."""

    def message(self, **named: Any) -> Any:
        made = super().message(**named)
        wrapped = parsed(type(made), SIGNED, policy=made.policy)
        for name in ("Subject", "From", "To", "Date", "Message-ID"):
            wrapped[name] = made[name]
        return wrapped


class Property(EmailMultiAlternatives):
    """Computes what others set."""

    encoding = "iso-8859-1"

    @property
    def subject(self) -> str:
        return "computed é"

    @subject.setter
    def subject(self, value: str) -> None:
        pass


class Hooked(EmailMultiAlternatives):
    """Changes a step within, of either Django."""

    def _add_bodies(self, msg: Any) -> None:
        super()._add_bodies(msg)  # type: ignore[misc]
        msg["X-Own"] = "of a step"

    def _create_message(self, msg: Any) -> Any:
        made = super()._create_message(msg)  # type: ignore[misc]
        made["X-Own"] = "of a step"
        return made


def with_hook_of_its_own() -> EmailMessage:
    """Make one whose hook is set on it alone."""
    made = mail(to=["bob@example.org", "eve@example.org"])
    made.recipients = lambda: ["bob@example.org"]
    return made  # type: ignore[no-any-return]


def inline() -> EmailMessage:
    """Make one as Anymail's helper attaches an image."""
    made = mail(AnymailMessage, tags=["a"], metadata={"order": 7})
    attach_inline_image(made, GIF, filename="größe.gif", subtype="gif")
    made.attachments[0].replace_header("Content-ID", "<drawn-once@example.org>")
    return made  # type: ignore[no-any-return]


OTHERS: dict[str, Make] = {
    "plain class": lambda: mail(EmailMessage),
    "filtering class": lambda: mail(Filtering, bcc=["blocked@example.org", "d@example.org"]),
    "class that adds a header": lambda: mail(Heading, body=CAFE, attachments=some()),
    "class that wraps": lambda: mail(Wrapping),
    "class of properties": lambda: mail(Property, body=CAFE),
    "class of steps": lambda: mail(Hooked, alternatives=ALTERNATIVES["html"]),
    "hook of its own": with_hook_of_its_own,
    "html": lambda: mail(body="<p>é</p>", content_subtype="html"),
    "own subtype": lambda: mail(body="é", content_subtype="x-amp-html"),
    "mixed_subtype": lambda: mail(mixed_subtype="related", attachments=some()),
    "alternative_subtype": lambda: mail(
        alternative_subtype="related", alternatives=ALTERNATIVES["html"]
    ),
    "Charset": lambda: mail(body=CAFE, encoding=charset()),
    "attachments without a body": lambda: mail(body="", attachments=some()),
    "an alternative without a body": lambda: mail(body="", alternatives=ALTERNATIVES["html"]),
    "all": lambda: mail(body=CAFE, alternatives=ALTERNATIVES["safe"], attachments=some()),
    "attachments as lists": lambda: mail(attachments=[["a.txt", "text", "text/plain"]]),
    "Anymail's": lambda: mail(AnymailMessage, alternatives=ALTERNATIVES["html"]),
    "Anymail's image": inline,
}  # fmt: skip


def charset() -> Charset:
    """Make a charset that quotes."""
    made = Charset("utf-8")
    made.body_encoding = QP
    return made
