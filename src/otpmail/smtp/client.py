"""A mail goes on over another session as long as no double can come of it.

In: a pool and mails. Out: for each its end, in order.
Knows nothing of: Django, and whether a mail that failed is worth another attempt later.

What may be sent again within one attempt: a mail whose end mark was not written, for the server
cannot have taken it; one that was answered 421, which says the same; and one refused by a server
that does not keep what it offers. A mail written whole and not answered is in doubt, also when the
session had idled and seems to have been dead all along: a server that pipelines may queue the mail
and be lost before it writes its first reply. That mail is given back as in doubt.
"""

from collections.abc import Sequence

from otpmail.smtp import connecting
from otpmail.smtp.deadlines import NEVER, Deadline
from otpmail.smtp.errors import MisbehavedError, SilentPathError, WireError
from otpmail.smtp.mails import Mail, StillValid, always
from otpmail.smtp.pool import Pool
from otpmail.smtp.sending import Result, Spoils, send_all
from otpmail.smtp.session import Session
from otpmail.smtp.transmission import Transmission

MAX_REPLACED = 3
"""Sessions in a row that may turn out to be of no use before no more are asked for."""


def deliver(
    pool: Pool,
    mails: Sequence[Mail],
    *,
    window: int = 1,
    deadline: Deadline = NEVER,
    still_valid: StillValid = always,
    spoils: Spoils = lambda _: False,
) -> list[Result]:
    """Send mails and tell each one's end; never raises `WireError`.

    ``still_valid`` is asked right before each envelope is written. A session on which a mail had
    an end that ``spoils`` it begins no more mails; those to come go over another.
    """
    run = _Delivery(pool, mails, window, deadline, still_valid, spoils=spoils)
    while run.left:
        run.send_some()
    return [transmission.end for transmission in run.transmissions]


class _Delivery:
    """The state of one `deliver`."""

    def __init__(
        self,
        pool: Pool,
        mails: Sequence[Mail],
        window: int,
        deadline: Deadline,
        still_valid: StillValid,
        *,
        spoils: Spoils,
    ) -> None:
        self.transmissions = [Transmission(mail) for mail in mails]
        self._pool = pool
        self._window = window
        self._deadline = deadline
        self._still_valid = still_valid
        self._spoils = spoils
        self._replaced = 0
        self._spoilt = 0
        """Sessions in a row that took nothing and were spoilt: then it is not the session."""

    @property
    def left(self) -> list[Transmission]:
        """The mails that have no end yet."""
        return [transmission for transmission in self.transmissions if not transmission.is_over]

    def send_some(self) -> None:
        """Send as many as one session may carry, and decide which go on over another."""
        try:
            with self._pool.lend(self._deadline) as session:
                rested = session.rested
                parts = self._parts(session)
                ends = self._send(session, parts)
                session.retired = session.retired or not parts  # for its domains, another is needed
        except WireError as error:
            self._give_up(error)
            return
        if any(isinstance(end, WireError) and _is_lost(end) for end in ends):
            connecting.memory.lost(session.host, session.port)
        self._spoilt = self._spoilt + 1 if session.retired and not session.taken else 0
        untried: list[WireError] = []
        for (transmission, part), end in zip(parts, ends, strict=True):
            if not isinstance(end, WireError) or not end.untried:
                transmission.record(part, end)
            elif not transmission.note(part, end):
                untried.append(end)
        if untried and len(untried) == len(parts):
            self._replace(untried[0], rested=rested)
        else:
            self._replaced = 0

    def _parts(self, session: Session) -> list[tuple[Transmission, Mail]]:
        """Choose what the session carries next: of each mail one part."""
        domains = set(session.domains)
        transmissions = self.left[: self._pool.room(session)]
        parts = (
            (transmission, transmission.part(session.features, domains))
            for transmission in transmissions
        )
        return [(transmission, part) for transmission, part in parts if part is not None]

    def _send(self, session: Session, parts: Sequence[tuple[Transmission, Mail]]) -> list[Result]:
        of = {id(part): transmission.mail for transmission, part in parts}
        return send_all(
            session,
            [part for _, part in parts],
            window=self._window,
            deadline=self._deadline,
            still_valid=lambda part: self._still_valid(of[id(part)]),
            spoils=self._spoils if self._spoilt < MAX_REPLACED else lambda _: False,
        )

    def _replace(self, error: WireError, *, rested: bool) -> None:
        """Go on after a session that carried nothing, unless it was new: so would be the next."""
        self._replaced += 1
        excused = rested or isinstance(error, MisbehavedError)
        if self._replaced > MAX_REPLACED or not excused:
            self._give_up(error)
        elif rested:
            self._pool.doubt()

    def _give_up(self, error: WireError) -> None:
        for transmission in self.left:
            transmission.give_up(error)


def _is_lost(error: WireError) -> bool:
    """Whether the path went silent; in a window each mail has the error as its own's cause."""
    return isinstance(error, SilentPathError) or isinstance(error.__cause__, SilentPathError)
