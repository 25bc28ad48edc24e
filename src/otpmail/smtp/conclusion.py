"""What a mail's end makes of its session, and of what is believed of the server.

In: a session and the replies to one mail, or what came in place of one. Out: `Sent`, or a
`WireError`; the session is retired or closed if it is of no more use, and the server remembered.
Knows nothing of: flights, and other mails on the session.
"""

from collections.abc import Sequence

from otpmail.smtp import refusals
from otpmail.smtp.errors import (
    MisbehavedError,
    Phase,
    ProtocolError,
    RefusedError,
    TimedOutError,
    TiredError,
    WireError,
    Written,
)
from otpmail.smtp.mail_replies import MailReplies, refusal
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.modes import FLIGHTS, Mode, memory
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Session


def conclude(session: Session, replies: MailReplies) -> Sent | None:
    """Tell what became of a mail whose dialogue is over; ``None`` if it was called off."""
    if replies.called_off:
        if replies.data is not None:
            session.close()  # after 354 there is no other way to send nothing (RFC 5321, 4.1.1.4)
        return None
    if replies.reset_refusal is not None:
        session.retired = True
        words = str(refusal(replies.reset_refusal, Phase.RSET))
        raise TiredError(words, phase=Phase.RSET, reply=replies.reset_refusal)
    session.must_reset = replies.is_begun or session.mode is Mode.CHUNKED
    unkept = replies.to_flight if session.mode > Mode.STEPWISE else None
    if unkept is not None:
        _distrust_flights(session, f"{unkept.code} to what it offered")
        session.retired = True
    try:
        sent = replies.result()
    except RefusedError as error:
        _explain(session, replies, error, is_unkept=unkept is not None)
        raise
    except ProtocolError as error:
        if replies.body is not None:
            error.written = Written.WHOLE
        suspect(session, (), error)
        session.close()
        raise
    session.must_reset = False
    session.taken += 1
    _learn(session, replies.prepared.mail)
    return sent


def _explain(
    session: Session, replies: MailReplies, error: RefusedError, *, is_unkept: bool
) -> None:
    """Raise what a refusal is, if it is of what the server offered, or of one mail more."""
    superfluous = frozenset() if is_unkept else replies.superfluous
    if is_unkept or superfluous:
        words = "the server refused what it offered"
        raise MisbehavedError(words, phase=error.phase, superfluous=superfluous) from error
    if session.taken and refusals.is_of_session(error.reply, error.phase):
        session.retired = True
        raise TiredError(str(error), phase=error.phase, reply=error.reply) from error


def _learn(session: Session, taken: Mail) -> None:
    """Remember what the server had refused of a mail that it took without: only then it is that."""
    keywords = taken.without & session.features.offered.keys()
    if keywords:
        session.features = session.features.without(keywords)
        memory.distrust(session.host, session.port, keywords, "it refused what it offered")


def suspect(session: Session, awaited: Sequence[Phase], error: WireError) -> None:
    """Remember a server that answered a flight with something else than one reply a command.

    ``awaited``: the replies that were still to come.
    """
    is_timeout = isinstance(error, TimedOutError)
    is_cut_short = is_timeout and len(awaited) > 1 and Phase.MAIL not in awaited
    is_suspect = is_cut_short or isinstance(error, ProtocolError)
    if is_suspect and session.mode > Mode.STEPWISE:
        _distrust_flights(session, error)


def keep_in_step(session: Session, reply: Reply, *, is_alone: bool) -> None:
    """Refuse a reply to RSET that answers something else; ``is_alone``, if no mail came with it.

    The chunk of a mail that was refused unread may have been taken for commands, and what follows
    answers those. A server that is spoken to step by step merely refuses.
    """
    if session.mode > Mode.STEPWISE and refusals.is_out_of_step(reply):
        _distrust_flights(session, f"{reply.code} to {Phase.RSET}")
        session.close()
        kind = MisbehavedError if is_alone else ProtocolError
        raise kind("replies are out of step", phase=Phase.RSET)


def _distrust_flights(session: Session, reason: object) -> None:
    memory.distrust(session.host, session.port, FLIGHTS, reason)
