"""What a refusal speaks of, as far as it decides what is done next on the wire.

In: a reply, and the phase that it ends. Out: whether another session, a plainer way or fewer
recipients may get what was refused here.
Knows nothing of: sessions, and whom a refusal is told.
"""

import re

from otpmail.smtp import hints
from otpmail.smtp.errors import Phase
from otpmail.smtp.replies import Reply

UNKNOWN_COMMAND = frozenset({500, 502, 503})
"""Not known, or not now: a lie about a command that was offered and came in order."""

UNKNOWN_CHUNK = UNKNOWN_COMMAND | {501, 504}
"""The same of BDAT, whose only parameters are those of RFC 3030."""

UNKNOWN_PARAMETER = frozenset({455, 500, 501, 502, 504, 555})
"""What servers answer to a MAIL whose parameters they do not know (RFC 5321, 4.1.1.11)."""

TOO_MANY = frozenset({452, 552})
"""Of recipients (RFC 5321, 4.5.3.1.10); both have other meanings, too."""

TOO_LARGE = 552
"""In answer to MAIL (RFC 1870, 6.1)."""

NONE, ADDRESS, MAILBOX, SYSTEM, PROTOCOL, CONTENT, POLICY = 0, 1, 2, 3, 5, 6, 7
"""Subjects of an enhanced code (RFC 3463, 3)."""

OF_COMMANDS = frozenset({NONE, SYSTEM, PROTOCOL})
"""Subjects under which a command may be refused as such, and not for whom or what it names."""

TOO_MANY_RECIPIENTS = (PROTOCOL, 3)
TOO_LARGE_FOR_SYSTEM = (SYSTEM, 4)
CONVERSION = frozenset({(CONTENT, 2), (CONTENT, 3)})
"""Needed, and prohibited or not supported."""

PARAMETER = re.compile(
    r"\b8[ -]?bit|\bbody=|\bsize=|\b(?:option|parameter|argument|extension)s?\b", re.IGNORECASE
)
EIGHT_BITS = re.compile(r"\b8[ -]?bit", re.IGNORECASE)
NUMBER = re.compile(
    r"""\btoo\ many\ (?:[a-z]+\ ){0,2}(?:recipient|rcpt|addressee)
      | \b(?:maximum|max\.?|limit|number|many)\b.{0,30}\b(?:recipients|addressees|rcpts?)\b
      | \b(?:recipients|addressees|rcpts?)\b.{0,30}\b(?:limit|maximum|max|exceed)
      | \brecipient\ (?:count|limit)
    """,
    re.IGNORECASE | re.VERBOSE,
)
OF_A_TIME = re.compile(r"\b(?:daily|hourly|day|hour|minute|rate|quota)\b", re.IGNORECASE)
"""A number that fewer at once do not help with."""

OF_THIS_SESSION = re.compile(
    r"""\b(?:this|per|a|one)\ (?:smtp\ )?(?:session|connection)\b
      | \btoo\ many\ (?:[a-z]+\ )?(?:messages|mails|e-mails|emails|transactions)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_out_of_step(reply: Reply) -> bool:
    """Whether a reply to RSET, which nobody refuses as such, answers something else."""
    return reply.code in UNKNOWN_PARAMETER | UNKNOWN_CHUNK


def is_of_command(reply: Reply, *, is_chunk: bool = False) -> bool:
    """Whether the server does not know a command that it offered, or takes it for out of order."""
    codes = UNKNOWN_CHUNK if is_chunk else UNKNOWN_COMMAND
    return reply.code in codes and _subject(reply) in OF_COMMANDS and not _is_of_who_asks(reply)


def is_of_parameters(reply: Reply) -> bool:
    """Whether a refused MAIL may be taken without its parameters."""
    if reply.code in UNKNOWN_PARAMETER and _subject(reply) in OF_COMMANDS:
        return not _is_of_who_asks(reply)
    if reply.code // 100 != 5 or _subject(reply) in {ADDRESS, POLICY}:  # noqa: PLR2004 - for good
        return False
    is_said = _subject(reply) in {PROTOCOL, CONTENT} and _enhanced(reply) != TOO_MANY_RECIPIENTS
    return is_said or PARAMETER.search(reply.text) is not None


def is_of_eight_bits(reply: Reply) -> bool:
    """Whether a refused body may be taken in seven bits (RFC 6152, 3)."""
    in_words = EIGHT_BITS.search(reply.text) is not None
    is_for_good = reply.code // 100 == 5  # noqa: PLR2004 - RFC 5321, 4.2.1
    return is_for_good and (_enhanced(reply) in CONVERSION or in_words)


def _is_of_who_asks(reply: Reply) -> bool:
    said = reply.message
    return any(words.search(said) for words in (hints.NEEDS_SIGN_IN, hints.NEEDS_TLS))


def is_of_number(reply: Reply, phase: Phase = Phase.RCPT) -> bool:
    """Whether the mail has more recipients than the server takes at once, and no other fault.

    To RCPT the code alone says so: 452, and 552 from older servers (RFC 5321, 4.5.3.1.10), unless
    its enhanced code says more than that there is something.
    """
    if NUMBER.search(reply.text) and not OF_A_TIME.search(reply.text):
        return True
    subject, detail = _enhanced(reply)
    if detail or subject in {MAILBOX, SYSTEM, CONTENT}:
        return (subject, detail) == TOO_MANY_RECIPIENTS
    return phase is Phase.RCPT and reply.code in TOO_MANY


def is_of_session(reply: Reply, phase: Phase) -> bool:
    """Whether another session may get what this one was refused.

    Any refusal before the first recipient may be that, but for one that speaks of the mail itself;
    after it, one of number, and one for now that speaks of the server's own state.
    """
    status = _enhanced(reply)
    if phase in {Phase.RSET, Phase.MAIL}:
        is_of_mail = reply.code == TOO_LARGE or status == TOO_LARGE_FOR_SYSTEM
        return not is_of_mail and status[0] != CONTENT
    if status == TOO_MANY_RECIPIENTS or OF_THIS_SESSION.search(reply.text):
        return True
    is_for_now = reply.code // 100 == 4  # noqa: PLR2004 - RFC 5321, 4.2.1
    return is_for_now and status[0] == SYSTEM and status != TOO_LARGE_FOR_SYSTEM


def _subject(reply: Reply) -> int:
    return _enhanced(reply)[0]


def _enhanced(reply: Reply) -> tuple[int, int]:
    """Give subject and detail, zeros without an enhanced code."""
    _, subject, detail = reply.enhanced or (0, 0, 0)
    return subject, detail
