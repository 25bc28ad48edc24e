"""A mail is sent in as few round trips as the server allows, and its replies come in a queue.

In: a session and a `Mail`. Out: `Sent`, or a `WireError` that tells how much had been written.
Knows nothing of: pools, and what becomes of a mail that was not accepted.
"""

from collections import deque
from dataclasses import dataclass, field

from otpmail.wire import commands
from otpmail.wire.content import for_data
from otpmail.wire.deadlines import Deadline
from otpmail.wire.errors import (
    CLOSING,
    MisbehavedError,
    Phase,
    ProtocolError,
    RecipientsRefusedError,
    RefusedError,
    TimedOutError,
    WireError,
    Written,
)
from otpmail.wire.mails import Fitted, Mail, Sent, Wanted, fit
from otpmail.wire.modes import Mode, memory
from otpmail.wire.replies import Reply
from otpmail.wire.session import Session

MAX_AWAITED = 128
"""Replies awaited at once.

A server that blocks on writing its replies stops reading, and while we write we do not read: so
all replies to a flight must find room in the kernels' buffers (RFC 2920, 3.1). 128 of 512 octets
are 64 KiB, as much as Linux gives a fresh socket.
"""

SEND_BODY = 354
OUT_OF_ORDER = frozenset({500, 502, 503})
"""Not known, or not now: a lie about a command that was offered and came in order."""


@dataclass(slots=True)
class Answers:
    """What one mail's commands were answered, filled in the order in which the replies come."""

    fitted: Fitted
    still_wanted: Wanted | None = None
    called_off: bool = False
    awaited: deque[Phase] = field(default_factory=deque)
    begun: Reply | None = None
    recipients: list[Reply] = field(default_factory=list)
    data: Reply | None = None
    body: Reply | None = None

    def read(self, session: Session, deadline: Deadline) -> None:
        """Read all the replies that are awaited. A 421 stands for all that would have followed."""
        while self.awaited:
            phase = self.awaited[0]
            reply = session.reply(phase=phase, deadline=deadline)
            if reply.code == CLOSING:
                raise _refusal(reply, phase)
            if phase is Phase.RSET and not reply.positive:
                # Nobody refuses RSET (RFC 5321, 4.1.1.5): this answers something else, as when a
                # server took the chunk it had refused for commands.
                session.close()
                raise ProtocolError("replies are out of step", phase=phase)
            self._take(reply)

    def _take(self, reply: Reply) -> None:
        match self.awaited.popleft():
            case Phase.MAIL:
                self.begun = reply
            case Phase.RCPT:
                self.recipients.append(reply)
            case Phase.DATA:
                self.data = reply
            case Phase.BODY:
                self.body = reply

    @property
    def welcome(self) -> bool:
        """Whether the sender and at least one recipient were accepted."""
        begun = self.begun is not None and self.begun.positive
        return begun and any(reply.positive for reply in self.recipients)

    def verdict(self) -> Sent:
        """Tell what became of the mail. Raises the refusal that comes first."""
        begun, body = self.begun, self.body
        if begun is not None and not begun.positive:
            raise _refusal(begun, Phase.MAIL)
        replies = dict(zip(self.fitted.mail.recipients, self.recipients, strict=False))
        refused = {address: reply for address, reply in replies.items() if not reply.positive}
        if refused and not self.welcome:
            raise RecipientsRefusedError(refused)
        if self.data is not None and self.data.code != SEND_BODY:
            raise _refusal(self.data, Phase.DATA)
        if body is None:
            raise ProtocolError("a reply is missing", phase=Phase.BODY)
        if not body.positive:
            raise _refusal(body, Phase.BODY)
        return Sent(reply=body, refused=refused)

    @property
    def misbehaviour(self) -> Reply | None:
        """The reply that shows the server does not keep what it offered, if there is one."""
        if self.begun is None or not self.begun.positive:
            return None
        replies = [*self.recipients, *([self.data or self.body] if self.welcome else [])]
        return next((reply for reply in replies if reply and reply.code in OUT_OF_ORDER), None)


def send(
    session: Session,
    mail: Mail,
    *,
    deadline: Deadline,
    still_wanted: Wanted | None = None,
) -> Sent | None:
    """Send one mail the best way the session knows.

    ``still_wanted`` is asked right before the envelope is written, and once more where the body is
    a step of its own; if it says no, the mail is not sent, and ``None`` comes back. The session is
    still of use after `RefusedError`, `UnsupportedError` and `InvalidArgumentError`, and closed
    after any other `WireError`. `MisbehavedError` is worth a second try: the mail was not taken,
    and the server is remembered.
    """
    fitted = fit(mail, session.features)
    if still_wanted is not None and not still_wanted(mail):
        return None
    session.mails += 1
    answers = Answers(fitted, still_wanted)
    try:
        WAYS[session.mode](session, answers, deadline)
        if answers.called_off:
            return None
        return judge(session, answers)
    except (ProtocolError, TimedOutError) as error:
        suspect(session, answers, error)
        raise


def judge(session: Session, answers: Answers) -> Sent:
    """Tell what became of a mail whose replies are all here; close a session that misbehaved."""
    begun = answers.begun is not None and answers.begun.positive
    session.must_reset = begun or session.mode is Mode.CHUNKED
    misbehaviour = answers.misbehaviour if session.mode > Mode.STEPWISE else None
    if misbehaviour is not None:
        memory.distrust(session.host, session.port, f"{misbehaviour.code} to a pipelined command")
        session.close()
    try:
        sent = answers.verdict()
    except RefusedError as error:
        if misbehaviour is None:
            raise
        raise MisbehavedError("the server refused what it offered", phase=error.phase) from error
    except ProtocolError as error:
        if answers.body is not None:
            error.written = Written.WHOLE
        session.close()
        raise
    session.must_reset = False
    return sent


def suspect(session: Session, answers: Answers, error: WireError) -> None:
    """Remember a server that answered a flight with something else than one reply a command."""
    cut_short = isinstance(error, TimedOutError) and answers.begun is not None and answers.awaited
    garbled = isinstance(error, ProtocolError) and not isinstance(error, MisbehavedError)
    flights = session.mode > Mode.STEPWISE
    if flights and (garbled or (cut_short and len(answers.awaited) > 1)):
        memory.distrust(session.host, session.port, error)


def chunked_flight(answers: Answers, *, reset: bool) -> bytes:
    """Put a whole mail into one flight and queue the replies it awaits (RFC 3030, 4.2)."""
    fitted = answers.fitted
    phases = [Phase.MAIL, *[Phase.RCPT] * len(fitted.recipients), Phase.BODY]
    answers.awaited.extend([Phase.RSET, *phases] if reset else phases)
    return b"".join(
        (
            commands.RSET if reset else b"",
            fitted.begin,
            *fitted.recipients,
            commands.bdat_last(len(fitted.content)),
            fitted.content,
        )
    )


def _chunked(session: Session, answers: Answers, deadline: Deadline) -> None:
    if len(answers.fitted.recipients) + 3 > MAX_AWAITED:
        return _pipelined(session, answers, deadline)
    flight = chunked_flight(answers, reset=session.must_reset)
    with Counted(session, len(flight)):
        session.write(flight, phase=Phase.BODY, deadline=deadline)
        answers.read(session, deadline)
    return None


def _pipelined(session: Session, answers: Answers, deadline: Deadline) -> None:
    lines = _envelope(session, answers)
    lines.append((Phase.DATA, commands.DATA))
    for start in range(0, len(lines), MAX_AWAITED):
        flight = lines[start : start + MAX_AWAITED]
        answers.awaited.extend(phase for phase, _ in flight)
        session.write(b"".join(line for _, line in flight), phase=flight[0][0], deadline=deadline)
        answers.read(session, deadline)
    _body(session, answers, deadline)


def _stepwise(session: Session, answers: Answers, deadline: Deadline) -> None:
    for phase, line in _envelope(session, answers):
        answers.awaited.append(phase)
        session.write(line, phase=phase, deadline=deadline)
        answers.read(session, deadline)
        if answers.begun is not None and not answers.begun.positive:
            return
    if answers.welcome:
        answers.awaited.append(Phase.DATA)
        session.write(commands.DATA, phase=Phase.DATA, deadline=deadline)
        answers.read(session, deadline)
        _body(session, answers, deadline)


def _envelope(session: Session, answers: Answers) -> list[tuple[Phase, bytes]]:
    reset = [(Phase.RSET, commands.RSET)] if session.must_reset else []
    fitted = answers.fitted
    return [*reset, (Phase.MAIL, fitted.begin), *((Phase.RCPT, line) for line in fitted.recipients)]


def _body(session: Session, answers: Answers, deadline: Deadline) -> None:
    if answers.data is None or answers.data.code != SEND_BODY:
        return
    if (
        answers.welcome
        and answers.still_wanted is not None
        and not answers.still_wanted(answers.fitted.mail)
    ):
        answers.called_off = True
        session.close()  # after 354 there is no other way to send nothing (RFC 5321, 4.1.1.4)
        return
    # A server may ask for a body though it refused all recipients: end it at once (RFC 2920, 3.1).
    body = for_data(answers.fitted.content) if answers.welcome else b".\r\n"
    answers.awaited.append(Phase.BODY)
    with Counted(session, len(body)):
        session.write(body, phase=Phase.BODY, deadline=deadline)
        answers.read(session, deadline)


class Counted:
    """Tells an error that passes through how much of the mail had been written."""

    def __init__(self, session: Session, size: int) -> None:
        self._channel = session.channel
        self._start = session.channel.written
        self._size = size

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, WireError):
            error.written = self.written

    @property
    def written(self) -> Written:
        """How much of the mail the kernel has taken."""
        count = self._channel.written - self._start
        if count <= 0:
            return Written.NOTHING
        return Written.WHOLE if count >= self._size else Written.PART


def _refusal(reply: Reply, phase: Phase) -> WireError:
    if reply.code // 100 in {4, 5}:
        return RefusedError(f"{phase} was refused with {reply.code}", phase=phase, reply=reply)
    return ProtocolError(f"{phase} was answered with {reply.code}", phase=phase)


WAYS = {Mode.STEPWISE: _stepwise, Mode.PIPELINED: _pipelined, Mode.CHUNKED: _chunked}
