"""A mail's bytes are made fit for the wire without changing what they say.

In: a message's bytes. Out: the same with CR LF line ends, with dots doubled, or in seven bits.
Knows nothing of: envelopes and servers.
"""

import quopri
import re
from email import message_from_bytes, policy
from email.message import Message

LINE_END = re.compile(rb"\r\n|\r|\n")
LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)

AS_IT_IS = policy.SMTP.clone(refold_source="none")


def with_crlf(content: bytes) -> bytes:
    """End each line in CR LF, the last one too (RFC 5321, 2.3.8)."""
    pairs = content.count(b"\r\n")
    if not pairs == content.count(b"\n") == content.count(b"\r"):
        content = LINE_END.sub(b"\r\n", content)
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def for_data(content: bytes) -> bytes:
    """Double the dots that begin a line and add the end mark (RFC 5321, 4.5.2)."""
    return LEADING_DOT.sub(b"..", content) + b".\r\n"


def in_seven_bits(content: bytes) -> bytes | None:
    """Re-encode what uses the eighth bit (RFC 6152, 3); ``None`` if it cannot be, as in headers."""
    if not content.partition(b"\r\n\r\n")[0].isascii():
        return None  # that takes SMTPUTF8 (RFC 6532)
    try:
        return _re_encoded(content)
    except Exception:  # noqa: BLE001 - a parser of what may be nonsense, parts nested too deep
        return None


def _re_encoded(content: bytes) -> bytes | None:
    message = message_from_bytes(content, policy=AS_IT_IS)
    for part in message.walk():
        if "8bit" in str(part["Content-Transfer-Encoding"]).lower():
            del part["Content-Transfer-Encoding"]  # of a container: its parts will have their own
        if not part.is_multipart():
            _quote(part)
    encoded = message.as_bytes()
    return with_crlf(encoded) if encoded.isascii() else None


def _quote(part: Message) -> None:
    body = part.get_payload(decode=True)
    if isinstance(body, bytes) and not body.isascii():
        del part["Content-Transfer-Encoding"]
        part["Content-Transfer-Encoding"] = "quoted-printable"
        part.set_payload(quopri.encodestring(LINE_END.sub(b"\n", body)).decode("ascii"))
