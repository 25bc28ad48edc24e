"""A mail of text, or of text and HTML, is written to bytes without a tree of message objects.

In: a Django message whose addresses are spelt. Out: the bytes that its ``message()`` would make,
but for the boundary; or None, for a mail of any other shape, which is left to Django.
Knows nothing of: envelopes, line ends on the wire.

Python's library folds the fields that are not plainly one line. What is saved is its parser for
those that come out as they went in, and its copies of the tree: four fifths of the time.
"""

import base64
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email import quoprimime
from email.policy import compat32
from email.utils import format_datetime, formatdate, make_msgid, parsedate_to_datetime
from functools import lru_cache
from itertools import chain
from random import randrange
from typing import Any, NamedTuple

import django
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.message import EmailAlternative, forbid_multi_line_headers
from django.core.mail.utils import DNS_NAME
from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone

from otpmail.addresses import PLAIN
from otpmail.backends.policies import SMTP

CLASSES = frozenset({EmailMessage, EmailMultiAlternatives})
STRINGS = frozenset({str, SafeString})
MIME_TYPES = frozenset({"text/plain", "text/html"})
CHARSET = "utf-8"

HOOKS = frozenset(
    name for name in dir(EmailMultiAlternatives) if callable(getattr(EmailMultiAlternatives, name))
)
"""Methods, of which a message may have one of its own."""

OWN = HOOKS | {"alternative_subtype"}
"""What makes another mail of the same texts, where a message has one of its own."""

ADDED = re.compile(
    r"(?!(?:subject|from|sender|reply-to|to|b?cc|orig-date|(?:resent|content|mime)-.*)\Z)"
    r"[a-z0-9-]+",
    re.IGNORECASE,
)
"""Names of headers that a message may add: none that is written here, or has a structure."""

FIELD_LENGTH = 76
"""Of a field that no library folds, its name included."""

WORDS = re.compile(r"(?!.*=\?)[!-~]+(?: [!-~]+)*")
"""Free text that holds no encoded word (RFC 2047)."""

ID = re.compile(r"<[A-Za-z0-9.+_-]+@[A-Za-z0-9.-]+>")

REMEMBERED = 256
"""Senders, and dates: mails of one second have the same."""


class _OtherShapeError(Exception):
    """It is Django's to write."""


class _Entity(NamedTuple):
    """A text as it is written."""

    mime_type: str
    encoding: str
    body: bytes


def flatten(message: EmailMessage) -> bytes | None:
    """Write a mail. Raises what Django raises for a field that cannot be written."""
    if not _is_known(message):
        return None
    try:
        fields = b"".join(_field(name, value) for name, value in _fields(message))
        entities = [_encode(text.content, text.mimetype) for text in _texts(message)]
    except (_OtherShapeError, UnicodeEncodeError):
        return None
    if len(entities) > 1:
        return _multipart(fields, entities)
    return b"".join((_head(entities[0]), fields, EOL, entities[0].body))


def _is_known(message: EmailMessage) -> bool:
    """Tell whether it is Django's own, of texts alone, in UTF-8."""
    if type(message) not in CLASSES or not OWN.isdisjoint(vars(message)) or message.attachments:
        return False
    texts, headers = _texts(message), message.extra_headers
    charset = message.encoding or settings.DEFAULT_CHARSET
    addressees = (*message.to, *message.cc, *message.reply_to)
    lines = (message.subject, message.from_email, *addressees, *headers, *headers.values())
    names = {str(name).lower() for name in headers}
    return (
        {*map(type, texts)} == {EmailAlternative}
        and STRINGS.issuperset(map(type, (charset, *lines, *chain(*texts))))
        and charset == CHARSET
        and MIME_TYPES.issuperset(text.mimetype for text in texts)
        and (len(texts) == 1 or bool(message.body))
        and len(names) == len(headers)
        and all(map(ADDED.fullmatch, headers))
        and all(map(str.isprintable, lines))
    )


def _texts(message: Any) -> list[Any]:
    body = EmailAlternative(message.body, f"text/{message.content_subtype}")
    return [body, *getattr(message, "alternatives", ())]


def _fields(message: Any) -> Iterator[tuple[str, str]]:
    yield "Subject", message.subject
    yield "From", message.from_email
    addressees = {"To": message.to, "Cc": message.cc, "Reply-To": message.reply_to}
    yield from ((name, ", ".join(those)) for name, those in addressees.items() if those)
    names = {name.lower() for name in message.extra_headers}
    if "date" not in names:
        yield "Date", _now()
    if "message-id" not in names:
        yield "Message-ID", make_msgid(domain=str(DNS_NAME))
    yield from message.extra_headers.items()


def _field(name: str, value: str) -> bytes:
    is_short = len(name) + len(value) + 2 <= FIELD_LENGTH
    if is_short and _comes_out_as_it_is(name.lower(), value):
        return f"{name}: {value}".encode() + EOL
    return (_fold_once if name == "From" else _fold)(name, value)


def _comes_out_as_it_is(name: str, value: str) -> bool:
    match name:
        case "from" | "cc" | "reply-to":
            return False
        case "to":
            return PLAIN.fullmatch(value) is not None
        case "message-id":
            return ID.fullmatch(value) is not None
        case "date":
            return _is_date(value)
        case _:
            return WORDS.fullmatch(value) is not None


@lru_cache(REMEMBERED)
def _is_date(value: str) -> bool:
    try:
        return format_datetime(parsedate_to_datetime(value)) == value
    except ValueError:
        return False


def _multipart(fields: bytes, entities: Sequence[_Entity]) -> bytes:
    boundary = b"=" * 15 + b"%019d" % randrange(sys.maxsize) + b"=="  # noqa: S311 - no secret
    delimiter = EOL + b"--" + boundary
    pieces = [MULTIPART % boundary, fields]
    for number, entity in enumerate(entities):
        pieces += (delimiter, EOL, _head(entity, is_moved=not number), EOL, entity.body)
    return b"".join((*pieces, delimiter, b"--", EOL))


if django.VERSION >= (6, 0):
    EOL = b"\r\n"
    MULTIPART = b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="%b"\r\n'
    LINE_LENGTH = 78
    SNIFFED = 10

    def _head(entity: _Entity, *, is_moved: bool = False) -> bytes:
        head = (
            f'Content-Type: {entity.mime_type}; charset="{CHARSET}"\r\n'
            f"Content-Transfer-Encoding: {entity.encoding}\r\n"
        ).encode()
        # What was the whole before it became its first part has left the version there.
        return head if is_moved else head + b"MIME-Version: 1.0\r\n"

    def _encode(content: str, mime_type: str) -> _Entity:
        """Choose as ``email.contentmanager`` does: of two encodings, by the first lines."""
        lines = content.encode().splitlines()
        body = EOL.join(lines) + EOL
        if max(map(len, lines), default=0) <= LINE_LENGTH:
            return _Entity(mime_type, "7bit" if body.isascii() else "8bit", body)
        first = _quoted(lines[:SNIFFED])
        if len(first) > len(base64.b64encode(EOL.join((*lines[:SNIFFED], b"")))) + 1:
            encoded = base64.encodebytes(body)
            return _Entity(mime_type, "base64", encoded.replace(b"\n", EOL))
        quoted = first + _quoted(lines[SNIFFED:])
        return _Entity(mime_type, "quoted-printable", quoted.replace("\n", "\r\n").encode())

    def _quoted(lines: Sequence[bytes]) -> str:
        text = b"\n".join((*lines, b"")).decode("latin-1")
        return quoprimime.body_encode(text, LINE_LENGTH)

    def _now() -> str:
        zone = get_current_timezone() if settings.EMAIL_USE_LOCALTIME else UTC
        return format_datetime(datetime.now(zone))

    def _fold(name: str, value: str) -> bytes:
        _, header = SMTP.header_store_parse(name, value)
        if not all(one.domain.isascii() for one in getattr(header, "addresses", ())):
            raise _OtherShapeError
        return SMTP.fold_binary(name, header)

else:
    EOL = b"\n"
    MULTIPART = b'Content-Type: multipart/alternative;\n boundary="%b"\nMIME-Version: 1.0\n'
    LINE_LENGTH = 998

    def _head(entity: _Entity, *, is_moved: bool = False) -> bytes:  # noqa: ARG001 - as above
        return (
            f'Content-Type: {entity.mime_type}; charset="{CHARSET}"\n'
            f"MIME-Version: 1.0\nContent-Transfer-Encoding: {entity.encoding}\n"
        ).encode()

    def _encode(content: str, mime_type: str) -> _Entity:
        body = re.sub(rb"\r\n?", EOL, content.encode())
        if max(map(len, body.split(EOL))) > LINE_LENGTH:
            raise _OtherShapeError
        return _Entity(mime_type, "7bit" if body.isascii() else "8bit", body)

    def _now() -> str:
        return formatdate(localtime=settings.EMAIL_USE_LOCALTIME)

    def _fold(name: str, value: str) -> bytes:
        return compat32.fold_binary(*forbid_multi_line_headers(name, value, CHARSET))


_fold_once = lru_cache(REMEMBERED)(_fold)
