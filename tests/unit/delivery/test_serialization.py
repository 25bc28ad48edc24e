"""What is packed is unpacked the same."""

from email.message import MIMEPart
from email.mime.base import MIMEBase

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from otpmail.delivery.serialization import ANYMAIL, deserialize, serialize

FIXED = {"Message-ID": "<1@example.org>", "Date": "Tue, 24 Nov 2026 08:00:00 +0000"}


def there_and_back(message, **headers):
    return deserialize(serialize(message, headers=FIXED | headers))


def a_message(**changes):
    return EmailMultiAlternatives(
        "Grüße", "Hallo\n", "Alice <alice@example.org>", ["bob@example.org"], **changes
    )


def attributes(message):
    kept = (*ANYMAIL, "subject", "body", "from_email", "to", "cc", "bcc", "reply_to", "attachments",
            "alternatives", "content_subtype", "encoding")  # fmt: skip
    return {name: getattr(message, name, None) for name in kept}


def test_every_attribute_is_kept():
    message = a_message(
        cc=["c@example.org"],
        bcc=["d@example.org"],
        reply_to=["e@example.org"],
        attachments=[("a.txt", "text", "text/plain"), ("b.bin", b"\x00\xff", "image/png")],
        alternatives=[("<p>Hallo</p>", "text/html")],
    )
    message.encoding = "iso-8859-1"
    message.content_subtype = "html"
    message.metadata, message.tags = {"order": 7}, ["receipt"]
    message.esp_extra = {"deep": {"list": [1, None]}}
    back = there_and_back(message, **{"X-Own": "7"})
    assert attributes(back) == attributes(message)
    assert back.extra_headers == FIXED | {"X-Own": "7"}


@given(body=st.text(), subject=st.text(), content=st.binary() | st.text())
def test_any_text_and_bytes_are_kept(body, subject, content):
    message = EmailMessage(subject, body, "a@example.org", ["b@example.org"])
    message.attachments = [("x", content, "application/octet-stream")]
    back = there_and_back(message)
    assert (back.subject, back.body, back.attachments) == (subject, body, message.attachments)


def test_the_mail_made_of_it_is_the_same_to_the_byte():
    message = a_message(
        headers=FIXED,
        attachments=[("a.txt", "text", "text/plain"), ("b.bin", b"\x00\xff", "image/png")],
    )
    again = there_and_back(message)
    assert without_boundaries(again) == without_boundaries(message)


def without_boundaries(message):
    made = message.message()
    for number, part in enumerate(made.walk()):
        if part.is_multipart():
            part.set_boundary(f"boundary-{number}")
    return made.as_bytes()


def test_parts_are_kept():
    part = MIMEBase("image", "gif")
    part.set_payload("R0lGODlhAQABAAAAACw=")
    part["Content-Transfer-Encoding"] = "base64"
    message = a_message()
    message.attachments = [part]
    (back,) = there_and_back(message).attachments
    assert isinstance(back, MIMEBase)
    assert back.as_bytes() == part.as_bytes()


@pytest.mark.skipif(django.VERSION < (6, 0), reason="takes no such part")
def test_modern_parts_are_kept():
    part = MIMEPart()
    part.set_content(b"GIF", "image", "gif", cid="<logo>", disposition="inline")
    message = a_message(attachments=[part])
    back = there_and_back(message)
    assert isinstance(back.attachments[0], MIMEPart)
    assert back.attachments[0].as_bytes() == part.as_bytes()
    assert b"<logo>" in back.message().as_bytes()


def test_attached_mail_is_kept():
    inner = EmailMessage("inner", "words", "a@example.org", ["b@example.org"])
    message = a_message(attachments=[("a.eml", inner, "message/rfc822")])
    back = there_and_back(message)
    assert back.attachments[0][1]["Subject"] == "inner"
    assert b"words" in back.message().as_bytes()


def test_lazy_text_is_kept_as_text():
    message = a_message()
    message.subject = gettext_lazy("Hello")
    assert there_and_back(message).subject == "Hello"
