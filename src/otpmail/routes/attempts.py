"""What is under way when mails are sent: the mails, and the attempts through routes.

In: what came of an attempt. Out: what the process learns of the route, and the state of each mail.
Knows nothing of: which route is next, threads.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.core.mail import EmailMessage

from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import hedging
from otpmail.routes.circuits import Permit
from otpmail.routes.order import domain_of, is_from_codes_sender
from otpmail.routes.rate_limiter import rate_limiters

SILENT = Outcome(kind=Kind.UNKNOWN, reply="no answer in the time it had", blame=Blame.ROUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAttempt:
    """What one route did with the mail, and when (monotonic seconds).

    Of mails that go together all ends are told at once: each took as long as all.
    """

    route: str
    began: float
    took_seconds: float
    outcome: Outcome
    is_probe: bool = False
    """Whether it went to see if its route, which was unavailable, is back."""


@dataclass(slots=True, eq=False)
class RoutedMail:
    """One of the mails, and what became of it so far."""

    place: int
    message: EmailMessage
    route_attempts: list[RouteAttempt] = field(default_factory=list)
    still_valid: bool = True
    taken: bool = False
    has_final_outcome: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing that is still under way matters."""
        return self.taken or not self.still_valid

    @property
    def may_go_on(self) -> bool:
        """Whether another route may be asked."""
        return not (self.is_over or self.has_final_outcome)

    def end(self, ended: RouteAttempt) -> None:
        """Take the end of one of its attempts."""
        self.route_attempts.append(ended)
        self.taken = self.taken or ended.outcome.kind is Kind.ACCEPTED
        self.has_final_outcome = self.has_final_outcome or _is_final(ended.outcome)


class ActiveAttempt:
    """An attempt that is under way."""

    def __init__(
        self, route: str, permit: Permit, mails: Sequence[RoutedMail], *, has_other: bool
    ) -> None:
        self.route = route
        self.permit = permit
        self.mails = mails
        self._has_other = has_other
        self.began = time.monotonic()
        self.asked_at = -math.inf
        self.asked: dict[RoutedMail, None] = {}  # in their order
        self.has_ended = False

    def read(self, mail: RoutedMail, outcome: Outcome) -> Outcome:
        """Take what is said of the sender of codes for what it is: said of their route."""
        is_of_another = outcome.is_of_sender and not is_from_codes_sender(mail.message)
        return replace(outcome, is_of_sender=is_of_another)

    def end(self, ended: Mapping[RoutedMail, Outcome]) -> None:
        """Tell what the process knows of its routes."""
        self.has_ended = True
        if any(outcome.kind is Kind.ACCEPTED for outcome in ended.values()):
            hedging.took(self.route, (time.monotonic() - self.began) / len(ended))
        # Of another sender's refusal codes learn nothing, neither good nor bad.
        told = {mail: outcome for mail, outcome in ended.items() if not outcome.is_of_sender}
        # Of equals the first: of mails in one flight it is the one that was waited for.
        mail = max(told, key=lambda mail: _weight(told[mail]), default=self.mails[0])
        try:
            domain = domain_of(mail.message)
            self.permit.end(told.get(mail), domain=domain, has_other=self._has_other)
        finally:
            rate_limiters[self.route].release()

    def give_up(self) -> Outcome:
        """Take it for silent. Once it has asked, a recipient's own server may be what is silent.

        Until then nothing was written, and nothing will be: nobody answers it any more.
        """
        asked = [*self.asked.copy()]  # its thread may add to it
        kind = Kind.UNKNOWN if asked else Kind.TRANSIENT
        outcome = replace(SILENT, kind=kind, is_local=bool(asked))
        domain = domain_of((asked or self.mails)[0].message)
        self.permit.record(outcome, domain=domain, has_other=self._has_other)
        return outcome

    def as_route_attempt(self, outcome: Outcome) -> RouteAttempt:
        """Tell what came of one of its mails."""
        took_seconds = time.monotonic() - self.began
        return RouteAttempt(
            route=self.route,
            began=self.began,
            took_seconds=took_seconds,
            outcome=outcome,
            is_probe=self.permit.is_probe,
        )


def _weight(outcome: Outcome) -> int:
    """Say how much it tells of its route: one that took a single mail of many is sound."""
    return 2 * (outcome.kind is Kind.ACCEPTED) + (outcome.blame is Blame.ROUTE)


def _is_final(outcome: Outcome) -> bool:
    if outcome.kind is Kind.PERMANENT:
        return outcome.blame is Blame.MAIL
    return outcome.kind is Kind.UNKNOWN
