"""A command is one line, and no argument can make it two.

In: values. Out: bytes that end in the only CR LF they hold, or `InvalidArgumentError`.
Knows nothing of: sockets, replies, and the order of commands.
"""

import re
from base64 import b64encode

from otpmail.smtp.addresses import path
from otpmail.smtp.errors import InvalidArgumentError, Phase

MAX_NAME = 255
"""Octets of a domain (RFC 5321, 4.5.3.1.2)."""

MAX_AUTH = 12288
"""Octets of a line in the AUTH exchange (RFC 4954, 4)."""

MAX_COMMAND = 512
"""Octets of a command line (RFC 5321, 4.5.3.1.4)."""

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
NAME = re.compile(rf"(?:{LABEL}\.)+(?![0-9]+\Z){LABEL}")
LITERAL = re.compile(r"\[[A-Za-z0-9:.]+\]")
MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422, 3.1

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
CANCEL = b"*\r\n"
STARTTLS = b"STARTTLS\r\n"


def ehlo(name: str) -> bytes:
    """Greet (RFC 5321, 4.1.1.1). ``name`` is this host's, or an address literal."""
    return b"EHLO %b\r\n" % _name(name)


def helo(name: str) -> bytes:
    """Greet a server that knows no extensions."""
    return b"HELO %b\r\n" % _name(name)


def mail(
    sender: str, *, size: int | None = None, eight_bit: bool = False, utf8: bool = False
) -> bytes:
    """Begin a mail. ``size`` is in octets (RFC 1870); 8BITMIME is RFC 6152, SMTPUTF8 RFC 6531."""
    line = b"MAIL FROM:" + path(sender, phase=Phase.MAIL, utf8=utf8)
    if size is not None:
        line += b" SIZE=%d" % size
    if eight_bit:
        line += b" BODY=8BITMIME"
    if utf8:
        line += b" SMTPUTF8"
    return line + b"\r\n"


def rcpt(recipient: str, *, utf8: bool = False) -> bytes:
    """Name one recipient."""
    if not recipient:
        raise InvalidArgumentError("a recipient is empty", phase=Phase.RCPT)
    return b"RCPT TO:" + path(recipient, phase=Phase.RCPT, utf8=utf8) + b"\r\n"


def bdat_last(size: int) -> bytes:
    """Announce the mail's only chunk (RFC 3030, 2)."""
    return b"BDAT %d LAST\r\n" % size


def auth(mechanism: str, initial: bytes | None) -> bytes:
    """Begin to sign in (RFC 4954, 4). An initial response that is too long is left for later."""
    if not MECHANISM.fullmatch(mechanism):
        raise InvalidArgumentError("a mechanism has no valid name", phase=Phase.AUTH)
    bare = b"AUTH " + mechanism.encode("ascii")
    if initial is None:
        return bare + b"\r\n"
    line = bare + b" " + (b64encode(initial) or b"=") + b"\r\n"
    return line if len(line) <= MAX_COMMAND else bare + b"\r\n"


def auth_answer(answer: bytes) -> bytes:
    """Answer a 334 (RFC 4954, 4)."""
    line = b64encode(answer) + b"\r\n"
    if len(line) > MAX_AUTH:
        raise InvalidArgumentError("an answer is too long", phase=Phase.AUTH)
    return line


def is_name(name: str) -> bool:
    """Whether a host may greet with it: a full domain name, and not an address (RFC 5321, 2.3.5).

    Servers refuse what is not, such as a container's bare name.
    """
    return NAME.fullmatch(name) is not None and len(name) <= MAX_NAME


def _name(name: str) -> bytes:
    if not is_name(name) and not LITERAL.fullmatch(name):
        raise InvalidArgumentError("this host has no valid name", phase=Phase.EHLO)
    return name.encode("ascii")
