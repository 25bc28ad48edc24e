"""What can go wrong on the wire, and how much of the mail had been written when it did.

In: nothing. Out: one tree of exceptions, `WireError` at its root.
Knows nothing of: addresses, passwords and bodies; no message holds any.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otpmail.wire.replies import Reply


CLOSING = 421
"""The server is about to close, whatever the command was (RFC 5321, 3.8)."""


class Phase(StrEnum):
    """The step of the conversation that an error belongs to."""

    POOL = "pool"
    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    TLS = "tls"
    AUTH = "auth"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    QUIT = "quit"


class Written(Enum):
    """How much of a mail, its end mark included, was handed to the kernel.

    A server may take a mail only after it has seen the end mark (RFC 5321, 4.1.1.4; RFC 3030, 2),
    so a break leaves the mail's fate in doubt only after `WHOLE`.
    """

    NOTHING = "nothing"
    PART = "part"
    WHOLE = "whole"


class WireError(Exception):
    """Anything that keeps a mail from being accepted."""

    def __init__(
        self,
        words: str,
        *,
        phase: Phase,
        reply: Reply | None = None,
        written: Written = Written.NOTHING,
    ) -> None:
        super().__init__(words)
        self.phase = phase
        self.reply = reply
        self.written = written

    @property
    def in_doubt(self) -> bool:
        """Whether the server may have taken the mail all the same."""
        return self.written is Written.WHOLE and self.reply is None

    @property
    def untried(self) -> bool:
        """Whether the session failed rather than the mail, which cannot have been taken."""
        return False


class InvalidArgumentError(WireError, ValueError):
    """An argument that would break the protocol; nothing was written."""


class UnsupportedError(WireError):
    """The server does not offer what the options or the mail need; nothing was written."""


class TooLargeError(UnsupportedError):
    """The mail is larger than the server takes (RFC 1870); nothing was written."""


class RefusedError(WireError):
    """The server answered 4xx or 5xx: the mail was not taken."""

    reply: Reply

    @property
    def untried(self) -> bool:
        """Whether the session failed: after 421 nothing is carried out (RFC 5321, 3.8)."""
        return self.reply.code == CLOSING


class RecipientsRefusedError(RefusedError):
    """The server refused every recipient."""

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        # One worth another try outweighs those that are not.
        worst_first = sorted(replies.values(), key=lambda reply: reply.code)
        super().__init__(
            f"all {len(replies)} recipients were refused", phase=Phase.RCPT, reply=worst_first[0]
        )
        self.recipients = dict(replies)


class BrokenError(WireError):
    """The connection could not be made, or ended."""

    @property
    def untried(self) -> bool:
        """Whether it ended before the mail's end mark was written."""
        return self.written is not Written.WHOLE


class TimedOutError(BrokenError):
    """A step took longer than it may, or the caller's budget ran out."""


class InsecureChannelError(WireError):
    """TLS could not be agreed on: certificate, name or version."""


class ProtocolError(WireError):
    """What came back is not SMTP."""


class MisbehavedError(ProtocolError):
    """The server offered an extension and then refused its use; the mail was not taken."""

    @property
    def untried(self) -> bool:
        """Whether the session failed: it did, and the next one is spoken to the plain way."""
        return True
