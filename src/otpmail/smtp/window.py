"""Several mails are in flight on one session, and each has its own end.

In: a session and mails. Out: for each `Sent`, a `WireError`, or ``None`` if it was not valid.
Knows nothing of: pools, and which mails are tried again.

A window is bounded three ways: by mails, by octets (what a break leaves in doubt), and by replies
awaited, so that the server never blocks on writing them while we block on writing mails.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import BrokenError, Phase, RefusedError, WireError, Written
from otpmail.smtp.mail_replies import MailReplies
from otpmail.smtp.mails import Mail, Sent, StillValid, prepare
from otpmail.smtp.modes import Mode
from otpmail.smtp.sending import MAX_AWAITED, Span, chunked_flight, conclude, send, suspect
from otpmail.smtp.session import Session

MAX_OCTETS = 1024 * 1024
"""Octets in flight, unless one mail alone has more."""

Result = Sent | WireError | None

type Spoils = Callable[[Result], bool]
"""Whether a session begins no more mails after an end."""


def replies_to(mail: Mail) -> int:
    """Count the replies to a mail in one flight: RSET, MAIL, each RCPT, BDAT."""
    return len(mail.recipients) + 3


@dataclass(slots=True)
class _Flying:
    """A mail whose flight is being written or whose replies are awaited."""

    index: int
    answers: MailReplies
    span: Span


def send_all(
    session: Session,
    mails: Sequence[Mail],
    *,
    window: int,
    deadline: Deadline,
    still_valid: StillValid | None = None,
    spoils: Spoils = lambda _: False,
) -> list[Result]:
    """Send mails with at most ``window`` of them unanswered; never raises `WireError`.

    When the session breaks, a mail that was written whole and not answered carries an error that is
    ``in_doubt``; one that was not carries the same error with `Written.PART` or `Written.NOTHING`,
    and can be sent elsewhere without a double.
    """
    small = all(replies_to(mail) <= MAX_AWAITED for mail in mails)
    if window > 1 and small and session.mode is Mode.CHUNKED:
        return _Window(session, mails, window, deadline, still_valid, spoils=spoils).run()
    return list(_one_by_one(session, mails, deadline, still_valid, spoils))


def _one_by_one(
    session: Session,
    mails: Sequence[Mail],
    deadline: Deadline,
    still_valid: StillValid | None,
    spoils: Spoils,
) -> Iterator[Result]:
    for mail in mails:
        if not session.usable:
            yield _ended_before()
            continue
        try:
            yield send(session, mail, deadline=deadline, still_valid=still_valid)
        except WireError as error:
            session.retired = session.retired or spoils(error)
            yield error


def _ended_before() -> WireError:
    return BrokenError("the session ended before this mail", phase=Phase.MAIL)


class _Window:
    """One run of the window over one session."""

    def __init__(
        self,
        session: Session,
        mails: Sequence[Mail],
        size: int,
        deadline: Deadline,
        still_valid: StillValid | None,
        *,
        spoils: Spoils,
    ) -> None:
        self._session = session
        self._waiting = deque(enumerate(mails))
        self._flying: deque[_Flying] = deque()
        self._results: list[Result] = [None] * len(mails)
        self._size = size
        self._deadline = deadline
        self._still_valid = still_valid
        self._spoils = spoils

    def run(self) -> list[Result]:
        """Fill, take the oldest answer, and so on; on a break tell each mail its end."""
        try:
            while self._flying or (self._waiting and self._session.usable):
                if self._session.usable:
                    self._fill()
                self._settle()
        except WireError as error:
            self._abort(error)
        for index, _ in self._waiting:
            self._results[index] = _ended_before()
        return self._results

    def _fill(self) -> None:
        """Write as many flights as the window has room for, in one write.

        Which are still valid is asked right before it, of all that leave in it.
        """
        chosen = self._choose()
        flights: list[bytes] = []
        position = self._session.channel.written
        for index, answers in chosen:
            if not answers.is_still_valid():
                continue
            # A refused mail's remains would stand in the way of the next, which is written already.
            flight = chunked_flight(answers, reset=True)
            flights.append(flight)
            envelope = len(flight) - len(answers.prepared.content)
            self._flying.append(_Flying(index, answers, Span(position, envelope, len(flight))))
            position += len(flight)
            self._session.begins(answers.prepared.mail.recipients)
        if flights:
            data = b"".join(flights)
            self._session.write(data, phase=Phase.BODY, deadline=self._deadline)

    def _choose(self) -> list[tuple[int, MailReplies]]:
        """Fit as many mails as there is room for."""
        chosen: list[tuple[int, MailReplies]] = []
        while self._waiting:
            beside = [flying.answers for flying in self._flying]
            index, mail = self._waiting[0]
            if not self._has_room(mail, [*beside, *(answers for _, answers in chosen)]):
                break
            self._waiting.popleft()
            try:
                prepared = prepare(mail, self._session.features)
            except WireError as error:
                self._results[index] = error
            else:
                chosen.append((index, MailReplies(prepared, self._still_valid)))
        return chosen

    def _has_room(self, mail: Mail, beside: Sequence[MailReplies]) -> bool:
        octets = sum(answers.prepared.size for answers in beside)
        replies = sum(replies_to(answers.prepared.mail) for answers in beside)
        return not beside or (
            len(beside) < self._size
            and octets + len(mail.content) <= MAX_OCTETS
            and replies + replies_to(mail) <= MAX_AWAITED
        )

    def _settle(self) -> None:
        """Await the oldest's replies, and take what others have come with them.

        What then leaves together is one write again, not a trickle of single mails.
        """
        while self._flying:
            self._settle_oldest()
            if self._session.settled:
                return

    def _settle_oldest(self) -> None:
        oldest = self._flying[0]
        try:
            oldest.answers.read(self._session, self._deadline)
        except WireError as error:
            suspect(self._session, oldest.answers, error)
            raise
        end: WireError = BrokenError("the session ended before this answer", phase=Phase.BODY)
        if oldest.answers.to_flight is not None:  # the session ends here: hear the others first
            try:
                for flying in self._flying:
                    flying.answers.read(self._session, self._deadline)
            except WireError as error:
                end = error
        while self._flying and not self._flying[0].answers.awaited:
            self._judge(self._flying.popleft())
        if self._session.ended:
            raise end

    def _judge(self, flying: _Flying) -> None:
        try:
            self._results[flying.index] = conclude(self._session, flying.answers)
        except WireError as error:
            suspect(self._session, flying.answers, error)
            self._session.retired = self._session.retired or self._spoils(error)
            self._results[flying.index] = error

    def _abort(self, error: WireError) -> None:
        """Give each mail that has no end yet the error, with how much of it had been written."""
        count = self._session.channel.written
        self._session.close()
        for flying in self._flying:
            self._results[flying.index] = _copy(error, flying.span.written(count, error))
        while self._waiting:
            self._results[self._waiting.popleft()[0]] = _copy(error, Written.NOTHING)


def _copy(error: WireError, written: Written) -> WireError:
    copy: WireError
    if isinstance(error, RefusedError):  # 421: nothing that was written after it is carried out
        copy = RefusedError(str(error), phase=error.phase, reply=error.reply, written=written)
    else:
        copy = BrokenError(str(error), phase=error.phase, written=written)
    copy.__cause__ = error
    return copy
