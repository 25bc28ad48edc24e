"""What became of one try to hand a mail on: any exception or reply becomes one of four outcomes.

In: an exception of ``smtplib``, ``ssl``, ``socket`` or Django's mail package, or a server's reply.
Out: an `Outcome`, whose words are safe to store and to log.
Knows nothing of: rows, routes, retries.
"""

import re
import smtplib
import traceback
from dataclasses import dataclass, replace
from enum import Enum

from otpmail.masking import mask_addresses

REPLY_LENGTH = 200
"""Characters stored of a reply or an error; enough for an enhanced code and a queue id."""

OF_THE_SYSTEM = re.compile(r"4\.3\.\d")
"""The mail system's status (RFC 3463, 3.4): whatever it answers, it speaks of every mail."""

CLOSING = 421
"""The same, by the code alone (RFC 5321, 3.8)."""

READ_LENGTH = 1000
"""Characters read of it at most: a hostile server's megabyte must not keep a courier busy."""


class Kind(Enum):
    """Whether the mail was taken, and whether trying again can help."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


class Blame(Enum):
    """What a refusal speaks of: this mail, or every mail on this route."""

    MAIL = "mail"
    ROUTE = "route"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One try's end. ``code`` is the server's reply code (RFC 5321, 4.2), if it gave one."""

    kind: Kind
    reply: str
    code: int | None = None
    blame: Blame = Blame.MAIL


def of_reply(code: int, text: str | bytes, *, blame: Blame = Blame.MAIL) -> Outcome:
    """Read a reply: 2xx accepted, 5xx permanent, all else transient."""
    kinds = {2: Kind.ACCEPTED, 5: Kind.PERMANENT}
    reply = words(text)
    if code == CLOSING or (code // 100 == 4 and OF_THE_SYSTEM.match(reply)):  # noqa: PLR2004
        blame = Blame.ROUTE
    return Outcome(kind=kinds.get(code // 100, Kind.TRANSIENT), reply=reply, code=code, blame=blame)


def of_error(error: Exception, *, sending: bool) -> Outcome:
    """Read an exception.

    ``sending`` tells whether the mail may have been written: a connection that breaks while it is
    opened took nothing (transient), one that breaks later may have taken the mail (unknown).
    """
    match error:
        case smtplib.SMTPRecipientsRefused():
            # No SMTPResponseException: 450 and 550 look alike until its dict is read.
            code, text = next(iter(error.recipients.values()), (450, b"recipients refused"))
            return _of_refusal(code, text)
        case smtplib.SMTPDataError():
            return _of_refusal(error.smtp_code, error.smtp_error)
        case smtplib.SMTPResponseException():  # connect, HELO, STARTTLS, AUTH, MAIL
            return _of_refusal(error.smtp_code, error.smtp_error, blame=Blame.ROUTE)
        case smtplib.SMTPNotSupportedError():
            return Outcome(kind=Kind.PERMANENT, reply=named(error), blame=Blame.ROUTE)
        case ValueError() if not isinstance(error, OSError):  # no such address, no such header
            return Outcome(kind=Kind.PERMANENT, reply=named(error))
        case OSError() if sending:  # SMTPServerDisconnected and time-outs among them
            return Outcome(kind=Kind.UNKNOWN, reply=named(error), blame=Blame.ROUTE)
        case _:
            return Outcome(kind=Kind.TRANSIENT, reply=named(error), blame=Blame.ROUTE)


def _of_refusal(code: int, text: str | bytes, *, blame: Blame = Blame.MAIL) -> Outcome:
    # What smtplib raises was not taken, whatever its code: 250 to DATA, 252 to RCPT, -1 for none.
    outcome = of_reply(code, text, blame=blame)
    kind = Kind.TRANSIENT if outcome.kind is Kind.ACCEPTED else outcome.kind
    return replace(outcome, kind=kind, code=code if code > 0 else None)


def named(error: Exception) -> str:
    """Tell an error by its type and its words."""
    return words(f"{type(error).__name__}: {error}")


def describe(error: Exception) -> str:
    """Tell an error and where it arose, for a log: no value of a row, no full address."""
    return named(error) + "\n" + "".join(traceback.format_tb(error.__traceback__))


def words(text: str | bytes) -> str:
    """Make a stranger's text fit to store and to log: a line of ASCII, addresses masked."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    line = re.sub(r"[^\x20-\x7e]+", " ", text[:READ_LENGTH]).strip()
    return mask_addresses(line)
