"""A mail is sent in as few round trips as the server allows, and its replies come in a queue.

In: a session and a `Mail`. Out: `Sent`, or a `WireError` that tells how much had been written.
Knows nothing of: pools, and what becomes of a mail that was not accepted.
"""

from dataclasses import dataclass

from otpmail.smtp import commands, refusals
from otpmail.smtp.content import for_data
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import (
    MisbehavedError,
    Phase,
    ProtocolError,
    RefusedError,
    SilentPathError,
    TimedOutError,
    TiredError,
    WireError,
    Written,
)
from otpmail.smtp.mail_replies import MailReplies
from otpmail.smtp.mails import Mail, Sent, StillValid, prepare
from otpmail.smtp.modes import FLIGHTS, Mode, memory
from otpmail.smtp.session import Session

MAX_AWAITED = 128
"""Replies awaited at once.

A server that blocks on writing its replies stops reading, and while we write we do not read: so
all replies to a flight must find room in the kernels' buffers (RFC 2920, 3.1). 128 of 512 octets
are 64 KiB, as much as Linux gives a fresh socket.
"""


def send(
    session: Session,
    mail: Mail,
    *,
    deadline: Deadline,
    still_valid: StillValid | None = None,
) -> Sent | None:
    """Send one mail the best way the session knows.

    ``still_valid`` is asked right before the envelope is written, and once more where the body is
    a step of its own; if it says no, the mail is not sent, and ``None`` comes back. The session is
    still of use after `RefusedError`, `UnsupportedError` and `InvalidArgumentError`, and closed
    after any other `WireError`. `MisbehavedError` is worth a second try: the mail was not taken,
    and the server is remembered.
    """
    prepared = prepare(mail, session.features)
    if session.must_reset:
        _reset(session, deadline)
    if still_valid is not None and not still_valid(mail):
        return None
    session.begins(mail.recipients)
    answers = MailReplies(prepared, still_valid)
    try:
        SENDERS[session.mode](session, answers, deadline)
        if answers.called_off:
            return None
        return conclude(session, answers)
    except (ProtocolError, TimedOutError) as error:
        suspect(session, answers, error)
        raise


def _reset(session: Session, deadline: Deadline) -> None:
    """Clear away a mail that was refused, before anything of the next one is written.

    A server that took a refused chunk for commands answers those first: the replies are out of step
    and the session is of no more use.
    """
    reply = session.command(commands.RSET, phase=Phase.RSET, deadline=deadline)
    session.must_reset = not reply.positive
    if not reply.positive:
        session.retired = True
        if refusals.is_out_of_step(reply) and session.mode > Mode.STEPWISE:
            reason = f"{reply.code} to {Phase.RSET}"
            memory.distrust(session.host, session.port, FLIGHTS, reason)
            session.close()
            raise MisbehavedError("replies are out of step", phase=Phase.RSET)
        words = f"{Phase.RSET} was refused with {reply.code}"
        raise TiredError(words, phase=Phase.RSET, reply=reply)


def conclude(session: Session, answers: MailReplies) -> Sent:
    """Tell what became of a mail whose replies are all here; close a session that misbehaved."""
    session.must_reset = answers.is_begun or session.mode is Mode.CHUNKED
    shown = answers.to_flight if session.mode > Mode.STEPWISE else None
    if shown is not None:
        memory.distrust(session.host, session.port, FLIGHTS, f"{shown.code} to what it offered")
        session.close()
    try:
        sent = answers.result()
    except RefusedError as error:
        superfluous = frozenset() if shown else answers.superfluous
        if shown is None and not superfluous:
            raise _tired(session, error) from None
        words = "the server refused what it offered"
        raise MisbehavedError(words, phase=error.phase, superfluous=superfluous) from error
    except ProtocolError as error:
        if answers.body is not None:
            error.written = Written.WHOLE
        session.close()
        raise
    session.must_reset = False
    session.taken += 1
    _learn(session, answers.prepared.mail)
    return sent


def _learn(session: Session, taken: Mail) -> None:
    """Remember what the server had refused of a mail that it took without: only then it is that."""
    keywords = taken.without & session.features.offered.keys()
    if keywords:
        session.features = session.features.without(keywords)
        memory.distrust(session.host, session.port, keywords, "it refused what it offered")


def _tired(session: Session, error: RefusedError) -> RefusedError:
    """Leave a session that took mails before it was refused one, if the refusal speaks of it."""
    if not session.taken or not refusals.is_of_session(error.reply, error.phase):
        return error
    session.retired = True
    return TiredError(str(error), phase=error.phase, reply=error.reply)


def suspect(session: Session, answers: MailReplies, error: WireError) -> None:
    """Remember a server that answered a flight with something else than one reply a command."""
    cut_short = isinstance(error, TimedOutError) and answers.begun is not None and answers.awaited
    garbled = isinstance(error, ProtocolError) and not isinstance(error, MisbehavedError)
    flights = session.mode > Mode.STEPWISE
    if flights and (garbled or (cut_short and len(answers.awaited) > 1)):
        memory.distrust(session.host, session.port, FLIGHTS, error)


def chunked_flight(answers: MailReplies, *, reset: bool = False) -> bytes:
    """Put a whole mail into one flight and queue the replies it awaits (RFC 3030, 4.2)."""
    prepared = answers.prepared
    phases = [Phase.MAIL, *[Phase.RCPT] * len(prepared.recipients), Phase.BODY]
    answers.awaited.extend([Phase.RSET, *phases] if reset else phases)
    return b"".join(
        (
            commands.RSET if reset else b"",
            prepared.begin,
            *prepared.recipients,
            commands.bdat_last(len(prepared.content)),
            prepared.content,
        )
    )


def _chunked(session: Session, answers: MailReplies, deadline: Deadline) -> None:
    if len(answers.prepared.recipients) + 2 > MAX_AWAITED:
        return _pipelined(session, answers, deadline)
    flight = chunked_flight(answers)
    with Counted(session, len(flight), envelope=len(flight) - len(answers.prepared.content)):
        session.write(flight, phase=Phase.BODY, deadline=deadline)
        answers.read(session, deadline)
    return None


def _pipelined(session: Session, answers: MailReplies, deadline: Deadline) -> None:
    lines = [*_envelope(answers), (Phase.DATA, commands.DATA)]
    for start in range(0, len(lines), MAX_AWAITED):
        flight = lines[start : start + MAX_AWAITED]
        answers.awaited.extend(phase for phase, _ in flight)
        session.write(b"".join(line for _, line in flight), phase=flight[0][0], deadline=deadline)
        answers.read(session, deadline)
    _body(session, answers, deadline)


def _stepwise(session: Session, answers: MailReplies, deadline: Deadline) -> None:
    for phase, line in _envelope(answers):
        answers.awaited.append(phase)
        session.write(line, phase=phase, deadline=deadline)
        answers.read(session, deadline)
        if not answers.is_begun:
            return
    if answers.welcome:
        answers.awaited.append(Phase.DATA)
        session.write(commands.DATA, phase=Phase.DATA, deadline=deadline)
        answers.read(session, deadline)
        _body(session, answers, deadline)


def _envelope(answers: MailReplies) -> list[tuple[Phase, bytes]]:
    prepared = answers.prepared
    return [(Phase.MAIL, prepared.begin), *((Phase.RCPT, line) for line in prepared.recipients)]


def _body(session: Session, answers: MailReplies, deadline: Deadline) -> None:
    if answers.data is None or not answers.data.asks_on:
        return
    # A server may ask for a body though it refused all recipients: end it at once (RFC 2920, 3.1).
    body = for_data(answers.prepared.content) if answers.welcome else b".\r\n"
    if answers.welcome and not answers.is_still_valid():
        answers.called_off = True
        session.close()  # after 354 there is no other way to send nothing (RFC 5321, 4.1.1.4)
        return
    answers.awaited.append(Phase.BODY)
    with Counted(session, len(body)):
        session.write(body, phase=Phase.BODY, deadline=deadline)
        answers.read(session, deadline)


class Counted:
    """Tells an error that passes through how much of the mail had been written."""

    def __init__(self, session: Session, size: int, *, envelope: int = 0) -> None:
        self._channel = session.channel
        self._span = Span(session.channel.written, envelope, size)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, WireError):
            error.written = self._span.written(self._channel.written, error)


@dataclass(frozen=True, slots=True)
class Span:
    """Where on its connection a mail was written: after ``start`` octets, ``size`` of them.

    The first of them are the envelope, without which the rest is nothing.
    """

    start: int
    envelope: int
    size: int

    def written(self, count: int, error: WireError) -> Written:
        """Tell how much of it was, of the first ``count`` octets of the connection.

        Nothing was whose body cannot have arrived: where the path was silent, TCP tells.
        """
        if isinstance(error, SilentPathError) and error.arrived <= self.start + self.envelope:
            return Written.NOTHING
        if count >= self.start + self.size:
            return Written.WHOLE
        return Written.PART if count > self.start else Written.NOTHING


SENDERS = {Mode.STEPWISE: _stepwise, Mode.PIPELINED: _pipelined, Mode.CHUNKED: _chunked}
