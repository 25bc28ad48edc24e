"""The fast policies write what the library's write."""

import email.policy
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage as Message

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from hypothesis import given
from hypothesis import strategies as st

from otpmail.backends import policies

pytestmark = pytest.mark.skipif(django.VERSION < (6, 0), reason="renders without a policy")

TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=200)
HEADERS = {"Date": "Tue, 24 Nov 2026 13:20:10 +0000", "Message-ID": "<1@example.org>"}


def written(mail, policy):
    message = mail.message(policy=policy)
    if message.is_multipart():
        message.set_boundary("boundary")
    return message.as_bytes()


@given(subject=TEXT, name=TEXT, body=TEXT, extra=TEXT)
def test_bytes_are_those_of_the_library(subject, name, body, extra):
    mail = EmailMultiAlternatives(
        subject=subject,
        body=body,
        from_email=f'"{name.replace("\\", "").replace('"', "")}" <coop@example.org>',
        to=["alice@example.org", "Bob <bob@example.org>"],
        headers={**HEADERS, "Auto-Submitted": "auto-generated", "X-Extra": extra},
    )
    mail.attach_alternative(f"<p>{body}</p>", "text/html")
    assert written(mail, policies.SMTP) == written(mail, email.policy.SMTP)
    assert written(mail, policies.SMTPUTF8) == written(mail, email.policy.SMTPUTF8)


def test_attachments_are_the_same():
    inner = Message(policy=email.policy.default)
    inner["From"] = inner["Subject"] = "Jörg"
    inner.set_content("grüße")
    mail = EmailMessage("s", "b", "coop@example.org", ["a@example.org"], headers=HEADERS)
    mail.attach("grüße.txt", "grüße", "text/plain")
    mail.attach("a.bin", bytes(range(256)), "application/octet-stream")
    mail.attach(inner)
    assert written(mail, policies.SMTP) == written(mail, email.policy.SMTP)


def test_header_injection_is_refused_all_the_same():
    mail = EmailMessage("s", "b", "a\nBcc: b@example.org", ["a@example.org"], headers=HEADERS)
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        mail.message(policy=policies.SMTP)


def test_second_mail_makes_no_class(monkeypatch):
    def render():
        EmailMessage("s", "b", "a@example.org", ["b@example.org"]).message(policy=policies.SMTP)

    render()
    monkeypatch.setattr(HeaderRegistry, "__getitem__", None)
    render()
