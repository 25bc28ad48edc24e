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

from otpmail.wire.deadlines import NEVER, Deadline
from otpmail.wire.errors import MisbehavedError, WireError
from otpmail.wire.mails import Mail, Wanted
from otpmail.wire.pool import Pool
from otpmail.wire.session import Session
from otpmail.wire.window import Result, send_all

MAX_REPLACED = 3
"""Sessions in a row that may turn out to be dead before a mail is given back."""


def deliver(
    pool: Pool,
    mails: Sequence[Mail],
    *,
    window: int = 1,
    deadline: Deadline = NEVER,
    still_wanted: Wanted | None = None,
) -> list[Result]:
    """Send mails and tell each one's end; never raises `WireError`.

    ``still_wanted`` is asked right before each envelope is written.
    """
    run = _Delivery(pool, mails, window, deadline, still_wanted)
    while run.left:
        run.send_some()
    return run.results


class _Delivery:
    """The state of one `deliver`: ``left`` holds the places of the mails that have no end yet."""

    def __init__(
        self,
        pool: Pool,
        mails: Sequence[Mail],
        window: int,
        deadline: Deadline,
        still_wanted: Wanted | None,
    ) -> None:
        self.results: list[Result] = [None] * len(mails)
        self.left = list(range(len(mails)))
        self._pool = pool
        self._mails = mails
        self._window = window
        self._deadline = deadline
        self._still_wanted = still_wanted
        self._replaced = 0

    def send_some(self) -> None:
        """Send as many as one session may carry, and decide which go on over another."""
        try:
            with self._pool.lend(self._deadline) as session:
                rested = session.rested
                places = self.left[: self._pool.room(session)]
                ends = self._send(session, places)
        except WireError as error:
            self._give_up(error)
            return
        for place, end in zip(places, ends, strict=True):
            self.results[place] = end
        untried = [(place, end) for place, end in zip(places, ends, strict=True) if _untried(end)]
        self.left = [place for place, _ in untried] + self.left[len(places) :]
        if len(untried) == len(places):
            self._replace(untried[0][1], rested=rested)
        else:
            self._replaced = 0

    def _send(self, session: Session, places: Sequence[int]) -> list[Result]:
        return send_all(
            session,
            [self._mails[place] for place in places],
            window=self._window,
            deadline=self._deadline,
            still_wanted=self._still_wanted,
        )

    def _replace(self, error: Result, *, rested: bool) -> None:
        """Go on after a session that carried nothing, unless it was new: so would be the next."""
        self._replaced += 1
        excused = rested or isinstance(error, MisbehavedError)
        if self._replaced > MAX_REPLACED or not excused:
            self._give_up(error)
        elif rested:
            self._pool.doubt()

    def _give_up(self, error: Result) -> None:
        for place in self.left:
            self.results[place] = self.results[place] or error
        self.left = []


def _untried(end: Result) -> bool:
    return isinstance(end, WireError) and end.untried
