"""A mail as JSON, and back: all that a mail backend may read of it.

In: a Django ``EmailMessage``. Out: a text, and from it a message that any backend can be given: a
provider over HTTP reads attributes and not bytes, so attributes are kept. Never a pickle.
Knows nothing of: rows, encryption, whether what it reads is what was written.

Where a mail's attributes alone do not make it again (its class has hooks of its own, say), its
`Rendition` is kept beside them.
"""

import email.message
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from email import message_from_bytes
from email.generator import BytesGenerator
from email.message import Message, MIMEPart
from email.mime.base import MIMEBase
from email.policy import Policy, compat32, default
from io import BytesIO
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.message import EmailAlternative, EmailAttachment
from django.utils import timezone

from otpmail.db import compat
from otpmail.delivery import typed_json
from otpmail.delivery.typed_json import UnknownKindError
from otpmail.delivery.verbatim_policy import verbatim
from otpmail.exceptions import UnstorableMailError

ADDRESSEES = ("to", "cc", "bcc", "reply_to")

ANYMAIL = (
    "envelope_sender", "esp_extra", "merge_data", "merge_global_data", "merge_headers",
    "merge_metadata", "metadata", "send_at", "tags", "template_id", "track_clicks", "track_opens",
)  # fmt: skip
"""What Anymail reads besides (its docs: Anymail additions)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A mail as it was made: whom it is for, and its octets."""

    recipients: list[str]
    content: bytes = field(repr=False)


def serialize(
    message: EmailMessage, *, headers: Mapping[str, Any], rendition: Rendition | None = None
) -> str:
    """Write a mail. ``headers`` take the place of its own. Raises `UnstorableMailError`."""
    try:
        return json.dumps(_packed(message, headers, rendition))
    except UnknownKindError as error:
        raise UnstorableMailError(f"the outbox cannot keep a {error}") from error
    except RecursionError:
        raise UnstorableMailError("the outbox cannot keep what holds itself") from None
    except (TypeError, ValueError, ArithmeticError) as error:  # whose words may quote the mail
        told = f"the outbox cannot keep what raises a {type(error).__name__} when it is read"
        raise UnstorableMailError(told) from error


def _packed(
    message: EmailMessage, headers: Mapping[str, Any], rendition: Rendition | None
) -> dict[str, Any]:
    return {
        # An API may take what is None from a template that it keeps.
        **{name: _value(getattr(message, name)) for name in ("subject", "body", "from_email")},
        **{name: [_value(one) for one in getattr(message, name) or ()] for name in ADDRESSEES},
        "extra_headers": {"dict": [[str(name), _value(headers[name])] for name in headers]},
        "content_subtype": _text(message.content_subtype),
        "encoding": _text(message.encoding),
        "attachments": [_attachment(one) for one in message.attachments or ()],
        "alternatives": [_pieces(one) for one in getattr(message, "alternatives", None) or ()],
        "anymail": {name: typed_json.encode(value) for name, value in _of_anymail(message)},
        "rendition": rendition and [rendition.recipients, typed_json.encode(rendition.content)],
    }


def deserialize(text: str) -> EmailMultiAlternatives:
    """Make the mail again."""
    packed = json.loads(text)
    message = EmailMultiAlternatives()
    if rendition := packed.pop("rendition"):
        recipients, content = map(typed_json.decode, rendition)
        message = _Kept(Rendition(recipients=recipients, content=content))
    message.attachments = [_restored_attachment(one) for one in packed.pop("attachments")]
    message.alternatives = [
        EmailAlternative(*map(_restored, one)) for one in packed.pop("alternatives")
    ]
    for name, value in {**packed.pop("anymail"), **packed}.items():
        setattr(message, name, typed_json.decode(value))
    return message


class _Kept(EmailMultiAlternatives):
    """A mail that is what it was, whatever its attributes would make."""

    def __init__(self, rendition: Rendition) -> None:
        super().__init__()
        self._rendition = rendition

    def recipients(self) -> list[str]:
        return list(self._rendition.recipients)

    def message(self, *, policy: Any = default) -> Any:
        content = self._rendition.content
        return message_from_bytes(content, _class=compat.MADE, policy=verbatim(policy))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _value(value: Any) -> Any:
    try:
        return typed_json.encode(value)
    except UnknownKindError:  # it is what it reads as, to Django too
        return str(value)


def _piece(value: Any) -> Any:
    if isinstance(value, EmailMessage):
        value = value.message()
    if isinstance(value, Message):
        kind = next(name for name, (types, _, _) in PARTS.items() if isinstance(value, types))
        return {"part": [kind, typed_json.encode(_flat(value))]}
    return _value(value)


def _pieces(values: Any) -> list[Any]:
    return [_piece(value) for value in values]


def _attachment(attachment: Any) -> Any:
    return _piece(attachment) if isinstance(attachment, Message) else _pieces(attachment)


def _restored_attachment(packed: Any) -> Any:
    return (
        _restored(packed) if isinstance(packed, dict) else EmailAttachment(*map(_restored, packed))
    )


def _restored(packed: Any) -> Any:
    match packed:
        case {"part": [kind, written]}:
            _, made, policy = PARTS[kind]
            return message_from_bytes(typed_json.decode(written), _class=made, policy=policy)
        case _:
            return typed_json.decode(packed)


class _Part(MIMEBase):
    """A MIMEBase as the parser makes it: empty."""

    def __init__(self, policy: "Policy[Any]" = compat32) -> None:
        Message.__init__(self, policy)


PARTS: dict[str, tuple[type[Message], Any, "Policy[Any]"]] = {
    "MIMEBase": (MIMEBase, _Part, compat32),
    "EmailMessage": (email.message.EmailMessage, email.message.EmailMessage, default),
    "MIMEPart": (MIMEPart, MIMEPart, default),
    "Message": (Message, Message, compat32),
}
"""What a backend may tell apart: a part's class, before those it is one of; how it is read."""


def _flat(part: Message) -> bytes:
    """Write a part as it is written within a mail: by the mail's policy, not by its own."""
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, policy=compat.MADE_BY).flatten(part)
    return out.getvalue()


def _of_anymail(message: EmailMessage) -> Iterator[tuple[str, Any]]:
    for name in ANYMAIL:
        value = getattr(message, name, object)
        if isinstance(value, type):  # not set: Anymail's UNSET is a class, and no value is
            continue
        if name == "send_at":
            value = _moment(value)
        elif name == "tags" and value is not None:
            value = list(value)  # of any iterable
        yield name, value


def _moment(value: Any) -> Any:
    """Give a naive time the caller's zone, in which Anymail would have read it now."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - see below
    if isinstance(value, datetime) and timezone.is_naive(value):
        return timezone.make_aware(value)
    return value
