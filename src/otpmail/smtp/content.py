"""A mail's bytes are made fit for the wire without changing what they say.

In: a message's bytes. Out: the same with CR LF line ends, with dots doubled, or in seven bits.
Knows nothing of: envelopes and servers.

What is in seven bits already is never touched, and of the rest no more than must be: the message is
cut into its parts and put together again, never parsed and written anew.
"""

import base64
import binascii
import quopri
import re
from email.message import Message
from email.parser import BytesHeaderParser

LINE_END = re.compile(rb"\r\n|\r|\n")
LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)
CRLF = b"\r\n"

ENCODING = "Content-Transfer-Encoding"
ENCODING_FIELD = re.compile(
    rb"^(Content-Transfer-Encoding):[^\r\n]*(?:\r\n[ \t][^\r\n]*)*", re.IGNORECASE | re.MULTILINE
)
AS_IT_IS = frozenset({"", "7bit", "8bit", "binary"})
"""Encodings that encode nothing (RFC 2045, 6.2)."""

TOKEN = re.compile(r"(?:\s|\([^()]*\))*([^\s;(]*)")
"""A header's first word; comments may stand before it, and anything behind (RFC 2045, 6.1)."""

EIGHT_BIT = bytes(range(128, 256))


class NotInSevenBitsError(ValueError):
    """A message has no form in seven bits; its words say what of it."""


def with_crlf(content: bytes) -> bytes:
    """End each line in CR LF, the last one too (RFC 5321, 2.3.8)."""
    pairs = content.count(CRLF)
    if not pairs == content.count(b"\n") == content.count(b"\r"):
        content = LINE_END.sub(CRLF, content)
    return content if content.endswith(CRLF) or not content else content + CRLF


def for_data(content: bytes) -> bytes:
    """Double the dots that begin a line and add the end mark (RFC 5321, 4.5.2)."""
    return LEADING_DOT.sub(b"..", content) + b".\r\n"


def in_seven_bits(content: bytes) -> bytes:
    """Re-encode the parts that use the eighth bit, and no others (RFC 6152, 3).

    Lines end in CR LF. Raises `NotInSevenBitsError` for what cannot be re-encoded, as a header, or
    may not, as what is signed (RFC 1847, 2.1).
    """
    try:
        return _entity(content, "text/plain")
    except RecursionError:
        raise NotInSevenBitsError("its parts are nested too deep") from None


def _entity(content: bytes, default_type: str) -> bytes:
    """Re-encode a message, or a part of one (RFC 2045, 2.4)."""
    if content.isascii():
        return content
    headers, body = _split(content)
    read = BytesHeaderParser().parsebytes(headers)
    if read.get_payload():
        raise NotInSevenBitsError("its headers are not in order")
    read.set_default_type(default_type)
    kind = read.get_content_type()
    if kind == "multipart/signed":
        raise NotInSevenBitsError("what is signed may not be changed")
    if kind.startswith("multipart/"):
        encoding, body = "7bit", _parts(body, read)
    elif kind == "message/rfc822":
        encoding, body = "7bit", _entity(body, "text/plain")
    elif kind.startswith("message/"):
        raise NotInSevenBitsError(f"{kind} may not be encoded")  # RFC 2046, 5.2
    else:
        encoding, body = _leaf(body, read)
    return _encoded_as(encoding, headers) + body


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Cut the headers, with the empty line that ends them, from the body."""
    if content.startswith(CRLF):
        return CRLF, content[len(CRLF) :]
    headers, ends, body = content.partition(CRLF + CRLF)
    headers += ends
    if not headers.isascii():
        raise NotInSevenBitsError("its headers are not in ASCII")  # that takes RFC 6532
    return headers, body


def _parts(body: bytes, read: Message) -> bytes:
    """Re-encode each part of a multipart; what is before and after them nobody reads."""
    boundary = re.escape(_boundary(read))
    cut = re.split(rb"^(--%b(?:--)?[ \t]*(?:\r\n|\Z))" % boundary, body, flags=re.MULTILINE)
    if not boundary or len(cut) == 1:
        raise NotInSevenBitsError("its parts cannot be told apart")
    default = "message/rfc822" if read.get_content_subtype() == "digest" else "text/plain"
    close = re.compile(rb"--%b--\s*" % boundary)
    last = next((n for n in range(1, len(cut), 2) if close.fullmatch(cut[n])), len(cut))
    for place in range(0, len(cut), 2):
        if 0 < place < last:
            part = cut[place].removesuffix(CRLF)  # it is of the delimiter (RFC 2046, 5.1.1)
            cut[place] = _entity(part, default) + cut[place][len(part) :]
        elif not cut[place].isascii():
            cut[place] = CRLF
    return b"".join(cut)


def _boundary(read: Message) -> bytes:
    try:
        return read.get_boundary("").encode("ascii", "replace")
    except ValueError:  # in an encoding of its own (RFC 2231), which cannot be read
        return b""


def _leaf(body: bytes, read: Message) -> tuple[str, bytes]:
    encoding = TOKEN.match(str(read.get(ENCODING, "")))[1].lower()  # type: ignore[index]
    if encoding == "base64":
        return encoding, body.translate(None, EIGHT_BIT)  # as who decodes it does (RFC 2045, 6.8)
    if encoding == "quoted-printable":
        body = quopri.decodestring(body)
    elif encoding not in AS_IT_IS:
        raise NotInSevenBitsError("a part has an encoding that is not known")
    if encoding == "quoted-printable" or read.get_content_maintype() == "text":
        return "quoted-printable", CRLF.join(map(_quoted, body.split(CRLF)))
    return "base64", LINE_END.sub(CRLF, base64.encodebytes(body))


def _quoted(line: bytes) -> bytes:
    return LINE_END.sub(CRLF, binascii.b2a_qp(line, istext=False))


def _encoded_as(encoding: str, headers: bytes) -> bytes:
    """Write the encoding into a part's headers, where it stood or at their end."""
    encoded, times = ENCODING_FIELD.subn(rb"\1: " + encoding.encode(), headers)
    if times or encoding == "7bit":  # the default
        return encoded
    return headers.removesuffix(CRLF) + b"%b: %b\r\n\r\n" % (ENCODING.encode(), encoding.encode())
