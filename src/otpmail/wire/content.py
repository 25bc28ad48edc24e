"""A mail's bytes are made fit for the wire without changing what they say.

In: a message's bytes. Out: the same with CR LF line ends, with dots doubled, or in seven bits.
Knows nothing of: envelopes and servers.
"""

import re
from email import message_from_bytes, policy
from email.errors import MessageError

LINE_END = re.compile(rb"\r\n|\r|\n")
LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)

SEVEN_BIT = policy.SMTP.clone(cte_type="7bit", max_line_length=None)


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
    """Re-encode what uses the eighth bit (RFC 6152, 3); ``None`` if that cannot be done."""
    try:
        encoded = message_from_bytes(content, policy=SEVEN_BIT).as_bytes()
    except (MessageError, LookupError, ValueError):
        return None
    return with_crlf(encoded) if encoded.isascii() else None
