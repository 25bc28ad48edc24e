"""Mails are sent on one session: one after the other or, in chunks, several in flight.

In: a session and mails. Out: for each `Sent`, a `WireError`, or ``None`` if it was not valid.
Knows nothing of: pools, what is said of one mail, and which mails are tried again.

1. Start the dialogues of as many mails as there is room for, and write their flights at once.
2. Read the replies to the oldest flight, and send them to its dialogue.
3. Write the flight that this gives, or conclude the mail; on with the next whose replies came too.

A window is bounded three ways: by mails, by octets (what a break leaves in doubt), and by replies
awaited, so that the server never blocks on writing them while we block on writing mails.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from otpmail.smtp.conclusion import conclude, keep_in_step, suspect
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.dialogue import MAX_AWAITED, Dialogue, Flight, dialogue
from otpmail.smtp.errors import CLOSING, BrokenError, Phase, RefusedError, WireError
from otpmail.smtp.mail_replies import MailReplies, refusal
from otpmail.smtp.mails import Mail, PreparedMail, Sent, StillValid, always, prepare
from otpmail.smtp.modes import Mode
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Session

MAX_OCTETS = 1024 * 1024
"""Octets in flight, unless one mail alone has more."""

Result = Sent | WireError | None

type Spoils = Callable[[Result], bool]
"""Whether a session begins no more mails after an end."""


def send_all(
    session: Session,
    mails: Sequence[Mail],
    *,
    deadline: Deadline,
    window: int = 1,
    still_valid: StillValid = always,
    spoils: Spoils = lambda _: False,
) -> list[Result]:
    """Send mails with at most ``window`` of them unanswered; never raises `WireError`.

    ``still_valid`` is asked right before an envelope is written, and once more where the body is a
    step of its own; if it says no, the mail is not sent.

    The session is still of use after `RefusedError`, `UnsupportedError` and `InvalidArgumentError`,
    and retired or closed after any other, but where `MisbehavedError` is of the mail's parameters.
    That one is worth a second try: the mail was not taken, and the server is remembered. When the
    session breaks, the error of a mail that was written whole and not answered is ``in_doubt``; a
    mail that was not can be sent elsewhere without a double.
    """
    may_window = session.mode is Mode.CHUNKED and all(
        _replies_to(mail) <= MAX_AWAITED for mail in mails
    )
    size = window if may_window else 1
    return _Sending(session, mails, size, deadline, still_valid=still_valid, spoils=spoils).run()


def _replies_to(mail: Mail) -> int:
    """Count the replies to a mail in one flight: RSET, MAIL, each RCPT, BDAT."""
    return len(mail.recipients) + 3


@dataclass(slots=True, eq=False)
class _Flying:
    """A mail whose dialogue is under way, and its newest flight, written after ``start`` octets."""

    index: int
    prepared: PreparedMail
    dialogue: Dialogue
    flight: Flight
    start: int = 0


class _Sending:
    """Mails on their way over one session."""

    def __init__(
        self,
        session: Session,
        mails: Sequence[Mail],
        size: int,
        deadline: Deadline,
        *,
        still_valid: StillValid,
        spoils: Spoils,
    ) -> None:
        self._session = session
        self._waiting = deque(enumerate(mails))
        self._flying: deque[_Flying] = deque()
        self._results: list[Result] = [None] * len(mails)
        self._size = size
        self._mode = Mode.WINDOWED if size > 1 else session.mode
        self._deadline = deadline
        self._still_valid = still_valid
        self._spoils = spoils

    def run(self) -> list[Result]:
        """Send until each mail has an end, or the session has."""
        try:
            while not self._session.ended and (self._flying or self._may_begin()):
                self._fill()
                self._settle()
        except WireError as error:
            self._session.close()
            self._leave(error)
        self._leave(BrokenError("the session ended before this mail's end", phase=Phase.MAIL))
        return self._results

    def _may_begin(self) -> bool:
        return bool(self._waiting) and self._session.usable

    def _fill(self) -> None:
        """Begin as many mails as there is room for, in one write.

        Which are still valid is asked right before it, of all that leave in it.
        """
        started: list[_Flying] = []
        must_reset = self._session.must_reset
        for index, prepared in self._choose():
            talk = dialogue(prepared, self._mode, self._still_valid, must_reset=must_reset)
            flight = self._advance(index, partial(next, talk))
            if flight is not None:
                started.append(_Flying(index, prepared, talk, flight))
        self._flying.extend(started)
        self._write(started)

    def _choose(self) -> list[tuple[int, PreparedMail]]:
        """Fit as many mails as there is room for."""
        chosen: list[tuple[int, PreparedMail]] = []
        beside = [flying.prepared for flying in self._flying]
        while self._may_begin() and self._has_room(self._waiting[0][1], beside):
            index, mail = self._waiting.popleft()
            try:
                prepared = prepare(mail, self._session.features)
            except WireError as error:
                self._results[index] = error
            else:
                chosen.append((index, prepared))
                beside.append(prepared)
        return chosen

    def _has_room(self, mail: Mail, beside: Sequence[PreparedMail]) -> bool:
        octets = sum(prepared.size for prepared in beside)
        replies = sum(_replies_to(prepared.mail) for prepared in beside)
        return not beside or (
            len(beside) < self._size
            and octets + len(mail.content) <= MAX_OCTETS
            and replies + _replies_to(mail) <= MAX_AWAITED
        )

    def _write(self, flying: Sequence[_Flying]) -> None:
        """Write the newest flights of some mails at once."""
        position = self._session.channel.written
        for one in flying:
            one.start = position
            position += len(one.flight.data)
            if Phase.MAIL in one.flight.awaits:
                self._session.begins(one.prepared.mail.recipients)
        if flying:
            data = b"".join(one.flight.data for one in flying)
            self._session.write(data, phase=flying[-1].flight.phase, deadline=self._deadline)

    def _settle(self) -> None:
        """Go on with the oldest mail, and with others whose replies have come with its own.

        What then leaves together is one write again, not a trickle of single mails.
        """
        while self._flying and not self._session.ended:
            oldest = self._flying[0]
            replies = self._read(oldest.flight)
            flight = self._advance(oldest.index, partial(oldest.dialogue.send, replies))
            if flight is not None:
                oldest.flight = flight
                self._write([oldest])
                continue
            self._flying.popleft()
            if self._session.settled:
                return

    def _read(self, flight: Flight) -> list[Reply]:
        """Read the replies to a flight. A 421 stands for all that would have followed."""
        replies: list[Reply] = []
        for place, phase in enumerate(flight.awaits):
            try:
                reply = self._session.reply(phase=phase, deadline=self._deadline)
            except WireError as error:
                suspect(self._session, flight.awaits[place:], error)
                raise
            if reply.code == CLOSING:
                raise refusal(reply, phase)
            if phase is Phase.RSET:
                keep_in_step(self._session, reply, is_alone=len(flight.awaits) == 1)
            replies.append(reply)
        return replies

    def _advance(self, index: int, step: Callable[[], Flight]) -> Flight | None:
        """Take a step of a dialogue: give its next flight, or conclude the mail if it is over."""
        try:
            return step()
        except StopIteration as over:
            self._results[index] = self._conclude(over.value)
        return None

    def _conclude(self, replies: MailReplies) -> Result:
        try:
            return conclude(self._session, replies)
        except WireError as error:
            self._session.retired = self._session.retired or self._spoils(error)
            return error

    def _leave(self, error: WireError) -> None:
        """Give each mail that has no end yet the error, with how much of it had been written.

        The error itself is the oldest's. Another's is of a type after which it can go on.
        """
        count = self._session.channel.written
        for flying in self._flying:
            end = error if flying is self._flying[0] else _of_another(error)
            end.written = flying.flight.written(flying.start, count, error)
            self._results[flying.index] = end
        for index, _ in self._waiting:
            self._results[index] = BrokenError(str(error), phase=Phase.MAIL)
        self._flying.clear()
        self._waiting.clear()


def _of_another(error: WireError) -> WireError:
    end: WireError
    if isinstance(error, RefusedError):  # 421: nothing that was written after it is carried out
        end = RefusedError(str(error), phase=error.phase, reply=error.reply)
    else:
        end = BrokenError(str(error), phase=error.phase)
    end.__cause__ = error
    return end
