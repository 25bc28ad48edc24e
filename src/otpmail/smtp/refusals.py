"""What a refusal speaks of, as far as it decides what is done next on the wire.

In: a reply, and the phase that it ends. Out: whether another session, a plainer way or fewer
recipients may get what was refused here.
Knows nothing of: sessions, and whom a refusal is told.
"""

import re

from otpmail.smtp.errors import Phase
from otpmail.smtp.replies import Reply

UNKNOWN_COMMAND = frozenset({500, 502, 503})
"""Not known, or not now: a lie about a command that was offered and came in order."""

UNKNOWN_CHUNK = UNKNOWN_COMMAND | {501, 504}
"""The same of BDAT, whose only parameters are those of RFC 3030."""

UNKNOWN_PARAMETER = frozenset({500, 501, 502, 504, 555})
"""What servers answer to a MAIL whose parameters they do not know (RFC 5321, 4.1.1.11)."""

TOO_MANY = frozenset({452, 552})
"""Of recipients (RFC 5321, 4.5.3.1.10); both have other meanings, too."""

TOO_LARGE = 552
"""In answer to MAIL (RFC 1870, 6.1)."""

ADDRESS, SYSTEM, PROTOCOL, CONTENT, POLICY = 1, 3, 5, 6, 7
"""Subjects of an enhanced code (RFC 3463, 3)."""

TOO_MANY_RECIPIENTS = (PROTOCOL, 3)
TOO_LARGE_FOR_SYSTEM = (SYSTEM, 4)

IN_WORDS = re.compile(r"\btoo many recipients\b", re.IGNORECASE)
OF_THIS_SESSION = re.compile(r"\b(?:this|per|a) (?:smtp )?(?:session|connection)\b", re.IGNORECASE)


def is_out_of_step(reply: Reply) -> bool:
    """Whether a reply to RSET, which nobody refuses as such, answers something else."""
    return reply.code in UNKNOWN_PARAMETER | UNKNOWN_CHUNK


def is_of_parameters(reply: Reply) -> bool:
    """Whether a refused MAIL may be taken without its parameters."""
    subject, _ = _enhanced(reply)
    return reply.code in UNKNOWN_PARAMETER and subject not in {ADDRESS, POLICY}


def is_of_number(reply: Reply, phase: Phase = Phase.RCPT) -> bool:
    """Whether the mail has more recipients than the server takes at once, and no other fault.

    To RCPT the code alone says so: 452, and 552 from older servers (RFC 5321, 4.5.3.1.10).
    """
    if IN_WORDS.search(reply.text):
        return True
    if reply.enhanced is not None:
        return _enhanced(reply) == TOO_MANY_RECIPIENTS
    return phase is Phase.RCPT and reply.code in TOO_MANY


def is_of_session(reply: Reply, phase: Phase) -> bool:
    """Whether another session may get what this one was refused.

    Any refusal before the first recipient may be that, but for one that speaks of the mail itself.
    """
    subject = _enhanced(reply)
    if phase in {Phase.RSET, Phase.MAIL}:
        is_of_mail = reply.code == TOO_LARGE or subject == TOO_LARGE_FOR_SYSTEM
        return not is_of_mail and subject[0] != CONTENT
    in_words = OF_THIS_SESSION.search(reply.text)
    return subject == TOO_MANY_RECIPIENTS or in_words is not None


def _enhanced(reply: Reply) -> tuple[int, int]:
    """Give subject and detail, zeros without an enhanced code."""
    _, subject, detail = reply.enhanced or (0, 0, 0)
    return subject, detail
