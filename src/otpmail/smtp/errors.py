"""What can go wrong on the wire, and how much of the mail had been written when it did.

In: whatever a step raised. Out: one tree of exceptions, `WireError` at its root.
Knows nothing of: addresses, passwords and bodies; no message holds any.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otpmail.smtp.replies import Reply


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
        said: bytes = b"",
    ) -> None:
        super().__init__(words)
        self.phase = phase
        self.reply = reply
        self.written = written
        self.said = said
        """What had come that is no reply, its beginning. A stranger's words: never logged raw."""
        self.hint = ""
        """What to look at; part of its words."""

    def __str__(self) -> str:
        words = super().__str__()
        return f"{words} ({self.hint})" if self.hint else words

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
    retry_after: float | None = None
    """Seconds for which nobody asks again, where it is an earlier refusal that still stands."""

    @property
    def untried(self) -> bool:
        """Whether the session failed: after 421 nothing is carried out (RFC 5321, 3.8)."""
        return self.reply.code == CLOSING


class TiredError(RefusedError):
    """The server refuses one more on a session that it took mails on; another one may be taken."""

    @property
    def untried(self) -> bool:
        """Whether the session failed: it did, and the mail was not taken."""
        return True


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


class SilentPathError(BrokenError):
    """Nothing arrives at the server any more, and nobody says so: something between forgot us.

    ``arrived``: octets of the connection that may have arrived before.
    """

    def __init__(self, arrived: int, *, phase: Phase) -> None:
        super().__init__("nothing arrives at the server any more", phase=phase)
        self.arrived = arrived


class TimedOutError(BrokenError):
    """A step took longer than it may, or the caller's budget ran out."""


class InsecureChannelError(WireError):
    """TLS could not be agreed on: certificate, name or version."""


class TlsFileError(InsecureChannelError):
    """A certificate, its key or the authorities cannot be read, or do not belong together."""


class TokenError(BrokenError):
    """The project's own callable gave no token; nothing of it was written."""


class ProtocolError(WireError):
    """What came back is not SMTP."""


class MisbehavedError(ProtocolError):
    """The server offered an extension and then refused its use; the mail was not taken.

    ``superfluous``: the extensions that the mail itself can do without.
    """

    def __init__(
        self, words: str, *, phase: Phase, superfluous: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(words, phase=phase)
        self.superfluous = superfluous

    @property
    def untried(self) -> bool:
        """Whether the session failed: it did, and the next one is spoken to the plain way."""
        return True


class InPhase:
    """A ``with`` block whose errors, of whatever type, leave it as a `WireError` of one phase.

    The cause stays attached. An error that is neither the system's nor this package's is foreign
    (a token's callable, a key in hardware, an extension that panics) and told by its type alone.
    What `ends_process` goes through as it is.
    """

    __slots__ = ("_phase",)

    def __init__(self, phase: Phase) -> None:
        self._phase = phase

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, WireError) or ends_process(error):
            return
        raise _translated(error, self._phase) from error


def _translated(error: BaseException, phase: Phase) -> WireError:
    match error:
        case TimeoutError():
            return TimedOutError(f"{phase} timed out", phase=phase)
        case UnicodeError() if phase is Phase.CONNECT:
            return BrokenError("the host has no valid name", phase=phase)
        case ssl.SSLError() if phase is Phase.TLS:
            words = getattr(error, "verify_message", "") or error.reason or type(error).__name__
            return InsecureChannelError(f"TLS failed: {words}", phase=phase)
        case socket.gaierror():
            return BrokenError(f"the host is not found: {error.strerror}", phase=phase)
        case OSError():
            reason = error.reason if isinstance(error, ssl.SSLError) else None
            words = reason or error.strerror or type(error).__name__
            return BrokenError(f"the connection broke: {words}", phase=phase)
        case _:
            return BrokenError(f"{phase} failed: {type(error).__name__}", phase=phase)


def ends_process(error: BaseException) -> bool:
    """Whether the error is an order to end the process, which the main thread alone is given.

    Anywhere else somebody's code raised it, and it is a fault like any other.
    """
    is_order = isinstance(error, KeyboardInterrupt | SystemExit)
    return is_order and threading.current_thread() is threading.main_thread()


def is_lasting(error: BaseException) -> bool:
    """Whether somebody has to mend something: settings, a password, a certificate, the server."""
    match error:
        case RefusedError():
            return error.reply.code // 100 == 5  # noqa: PLR2004 - RFC 5321, 4.2.1
        case InsecureChannelError():
            return isinstance(error.__cause__, ssl.SSLCertVerificationError)
        case _:
            return isinstance(error, UnsupportedError | InvalidArgumentError)
