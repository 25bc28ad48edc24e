"""What the outbox keeps of a mail is proven to make the same mail again.

In: a Django message. Out: the text to keep, once the mail that was made of it had the envelope and
the bytes, but for boundaries, that the message itself would have been sent with.
Knows nothing of: rows, encryption.

A mail of Django's own classes that holds nothing but text and bytes is a function of its
attributes: then these are compared, which takes a fiftieth of the time. If a mail's attributes do
not make it again, it is kept as it was made, too.
"""

import re
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.core.mail import EmailMessage
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_variables

from otpmail.addresses.spelling import spell_text
from otpmail.backends.flatten import HOOKS
from otpmail.backends.translation import as_mail
from otpmail.delivery import serialization
from otpmail.delivery.serialization import Rendition
from otpmail.exceptions import UnstorableMailError
from otpmail.smtp.mails import Mail

BOUNDARY = re.compile(rb"={15}\d+==")
"""As ``email`` makes them, each time anew."""

FROZEN = ("Date", "Message-ID")
"""What Django writes into a mail that has none, and in this order."""

FIELD = re.compile(rb"(?im)^(date|message-id):(.*(?:\n[ \t].*)*)")
"""One of them, with the lines in which it goes on (RFC 5322, 2.2.3)."""

READ = (
    "subject", "body", "from_email", "to", "cc", "bcc", "reply_to", "attachments", "alternatives",
    "content_subtype", "encoding", "mixed_subtype", "alternative_subtype",
)  # fmt: skip
"""Attributes of which Django makes a mail, besides its headers."""

EXACT = frozenset({str, SafeString, bytes, type(None)})
"""Types of which a value that is equal makes an equal mail."""

ITERABLES = ("to", "cc", "bcc", "reply_to", "attachments", "alternatives", "tags")
"""Attributes that Django or Anymail iterates over, and does not mind of what kind they are."""

LENT = {"from_email": "nobody", "body": ""}
"""What a mail may lack whose template an API keeps."""

CLASSES_OF = frozenset({"anymail", "builtins", "django"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StorableMail:
    """What to keep of a mail."""

    text: str = field(repr=False)
    message_id: str
    recipients: tuple[str, ...] = field(repr=False)
    has_sender: bool
    """Or else a template that an API keeps gives one."""
    has_hooks: bool
    """Whether its class makes another mail than its attributes would."""


@sensitive_variables()
def check_roundtrip(message: EmailMessage) -> StorableMail:
    """Serialize a mail, and prove that it comes out the same.

    Raises ``ValueError`` for what no backend could send, and `UnstorableMailError` for what would
    have come out otherwise.
    """
    message = _drawn(message)
    mail = _rendered(message)
    made = _headers(mail)
    own = {str(name).lower() for name in message.extra_headers}
    frozen = {name: made[name] for name in FROZEN if name in made and name.lower() not in own}
    headers = frozen | message.extra_headers
    text = serialization.serialize(message, headers=headers)
    as_made = not (_is_equal(message, headers, text) or _makes(mail, text))
    if as_made:
        recipients = [str(spell_text(recipient)) for recipient in message.recipients()]
        rendition = Rendition(recipients=recipients, content=mail.content)
        text = serialization.serialize(message, headers=headers, rendition=rendition)
        if not _makes(mail, text):
            raise UnstorableMailError(
                f"the outbox cannot keep this {type(message).__name__}: made of what is kept, it "
                "would be another mail. Send it through an alias of MAILERS with another backend."
            )
    return StorableMail(
        text=text,
        message_id=made.get("Message-ID", ""),
        recipients=mail.recipients,
        has_sender=message.from_email is not None,
        has_hooks=as_made and not _is_known(message),
    )


def _drawn(message: EmailMessage) -> EmailMessage:
    """Draw what can be read once, since it is read several times."""
    drawn = copy(message)
    for name in ITERABLES:
        if isinstance(value := getattr(message, name, None), Iterator):
            setattr(drawn, name, list(value))
    return drawn


def _rendered(message: EmailMessage) -> Mail:
    """Render a mail; one that lacks a sender, or a text, under a sender that is nobody."""
    lent = copy(message)
    for name, value in LENT.items():
        if getattr(message, name) is None:
            setattr(lent, name, value)
    return as_mail(lent)


def _headers(mail: Mail) -> dict[str, str]:
    """Read the frozen headers, as one printable line each."""
    head = re.split(rb"\r?\n\r?\n", mail.content, maxsplit=1)[0]
    fields = {
        name.lower(): value.decode("ascii", "replace")
        for name, value in reversed(FIELD.findall(head))
    }
    return {
        name: "".join(filter(str.isprintable, fields[key])).strip()
        for name in FROZEN
        if (key := name.lower().encode()) in fields
    }


def _is_equal(message: EmailMessage, headers: Mapping[str, Any], text: str) -> bool:
    """Tell whether two messages must make the same mail: Django's own, of equal attributes."""
    if not _is_known(message):
        return False
    again = serialization.deserialize(text)
    return _are_exact([*headers.items()], [*again.extra_headers.items()]) and all(
        _are_exact(getattr(message, name, []), getattr(again, name, [])) for name in READ
    )


def _is_known(message: EmailMessage) -> bool:
    """Tell whether a mail is made by Django's own methods."""
    packages = {cls.__module__.partition(".")[0] for cls in type(message).__mro__}
    return packages <= CLASSES_OF and HOOKS.isdisjoint(vars(message))


def _are_exact(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(one) == len(other)
            and all(map(_are_exact, one, other))
        )
    return type(one) in EXACT and bool(one == other)


def _makes(mail: Mail, text: str) -> bool:
    """Tell whether what is kept makes a mail again, to the byte but for boundaries."""
    try:
        again = _rendered(serialization.deserialize(text))
    except Exception:  # noqa: BLE001 - whatever it is, it is not this mail
        return False
    return _comparable(again) == _comparable(mail)


def _comparable(mail: Mail) -> tuple[object, ...]:
    numbers = count()
    seen: dict[bytes, bytes] = {}

    def numbered(match: re.Match[bytes]) -> bytes:
        return seen.setdefault(match[0], b"%037d" % next(numbers))

    return mail.sender, mail.recipients, mail.utf8, BOUNDARY.sub(numbered, mail.content)
