"""A mail packed as JSON, and unpacked: all that a mail backend may read of it.

In: a Django ``EmailMessage``. Out: a text, and from it a message that any backend can be given: a
provider over HTTP reads attributes and not bytes, so attributes are kept. Never a pickle.
Knows nothing of: rows, seals.

A class that has a ``message()`` of its own (to sign or encrypt, say) is refused: its bytes might
not survive being written anew, and its attributes would not make the same mail again.
"""

import base64
import json
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import Message, MIMEPart
from email.mime.base import MIMEBase
from email.policy import Policy, compat32
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.message import EmailAlternative, EmailAttachment
from django.utils.functional import Promise

from otpmail.exceptions import UnstorableMailError

ADDRESSEES = ("to", "cc", "bcc", "reply_to")

ANYMAIL = (
    "envelope_sender", "esp_extra", "merge_data", "merge_global_data", "merge_headers",
    "merge_metadata", "metadata", "send_at", "tags", "template_id", "track_clicks", "track_opens",
)  # fmt: skip
"""What Anymail reads besides (its docs: Anymail additions)."""


def pack(message: EmailMessage, *, headers: Mapping[str, str]) -> str:
    """Pack a mail. ``headers`` take the place of its own. Raises `UnstorableMailError`."""
    if type(message).message is not EmailMessage.message:
        raise UnstorableMailError(
            f"{type(message).__name__} makes its message itself, so the outbox cannot keep it: "
            "send it through an alias of MAILERS with another backend."
        )
    packed = {
        "subject": str(message.subject),
        "body": _content(message.body),
        "from_email": str(message.from_email),
        **{name: [str(one) for one in getattr(message, name)] for name in ADDRESSEES},
        "headers": dict(headers),
        "attachments": [_attachment(one) for one in message.attachments],
        "alternatives": [
            [_content(content), mimetype]
            for content, mimetype in getattr(message, "alternatives", None) or []
        ],
        "content_subtype": message.content_subtype,
        "encoding": None if message.encoding is None else str(message.encoding),
        "anymail": {name: getattr(message, name) for name in ANYMAIL if hasattr(message, name)},
    }
    try:
        return json.dumps(packed)
    except TypeError as error:
        raise UnstorableMailError(f"the outbox keeps a mail as JSON: {error}") from error


def unpack(text: str) -> EmailMultiAlternatives:
    """Make the mail again."""
    packed = json.loads(text)
    message = EmailMultiAlternatives(
        packed["subject"],
        _restored(packed["body"]),
        packed["from_email"],
        headers=packed["headers"],
        **{name: packed[name] for name in ADDRESSEES},
    )
    message.attachments = [_restored_attachment(one) for one in packed["attachments"]]
    message.alternatives = [
        EmailAlternative(_restored(content), mimetype)
        for content, mimetype in packed["alternatives"]
    ]
    message.content_subtype = packed["content_subtype"]
    message.encoding = packed["encoding"]
    for name, value in packed["anymail"].items():
        setattr(message, name, value)
    return message


def _attachment(attachment: Any) -> Any:
    if isinstance(attachment, Message):  # MIMEBase, MIMEPart
        return _content(attachment)
    filename, content, mimetype = attachment
    return [filename, _content(content), mimetype]


def _restored_attachment(packed: Any) -> Any:
    if isinstance(packed, dict):
        return _restored(packed)
    filename, content, mimetype = packed
    return EmailAttachment(filename, _restored(content), mimetype)


def _content(content: Any) -> dict[str, str]:
    match content:
        case str() | Promise():
            return {"text": str(content)}
        case bytes():
            return {"bytes": base64.b64encode(content).decode()}
        case EmailMessage():
            return _content(content.message())
        case MIMEBase():
            return {"MIMEBase": base64.b64encode(content.as_bytes()).decode()}
        case MIMEPart():
            return {"MIMEPart": base64.b64encode(content.as_bytes()).decode()}
        case Message():
            return {"Message": base64.b64encode(content.as_bytes()).decode()}
        case _:
            raise UnstorableMailError(f"the outbox cannot keep a {type(content).__name__}")


def _restored(packed: dict[str, str]) -> Any:
    ((kind, value),) = packed.items()
    if kind == "text":
        return value
    content = base64.b64decode(value)
    match kind:
        case "MIMEBase":
            return message_from_bytes(content, _class=_Part)
        case "MIMEPart":
            return message_from_bytes(content, _class=MIMEPart, policy=policy.default)  # type: ignore[arg-type]
        case "Message":
            return message_from_bytes(content)
        case _:
            return content


class _Part(MIMEBase):
    """A MIMEBase as the parser makes it: empty."""

    def __init__(self, policy: "Policy[Any]" = compat32) -> None:
        Message.__init__(self, policy)
