"""What a delivery carries: a challenge's code, or a project's own mail. The courier sees one shape.

In: a delivery as the outbox read it. Out: a `Payload`.
Knows nothing of: leases, attempts.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.views.decorators.debug import sensitive_variables

from otpmail import closing, purposes
from otpmail.conf import settings
from otpmail.crypto import challenge_codes, encryption
from otpmail.delivery import rendering, serialization
from otpmail.delivery.rendering import RenderedMessage
from otpmail.models import Challenge, ChallengeState, Delivery, Reason, StoredMessage


class Payload(ABC):
    """What the courier asks of either kind."""

    @property
    @abstractmethod
    def is_first(self) -> bool:
        """Whether no other mail went before it for the same thing."""

    @property
    @abstractmethod
    def routes(self) -> Sequence[str]:
        """Aliases of ``MAILERS`` through which it may leave."""

    @property
    @abstractmethod
    def retry_seconds(self) -> Sequence[float]:
        """The waits between its attempts."""

    @property
    @abstractmethod
    def may_double(self) -> bool:
        """Whether it does no harm twice, so that a silent route may get company."""

    @abstractmethod
    def drop_reason(self) -> Reason | None:
        """Tell why sending it has become pointless, if it has."""

    @abstractmethod
    def rendered(self) -> RenderedMessage | Reason:
        """Make the mail, or tell why there is none any more. Raises what a template raises."""

    @abstractmethod
    def give_up(self, reason: Reason, now: datetime) -> None:
        """End what hangs on it: no mail will come."""


def of(delivery: Delivery) -> Payload:
    """Give what a delivery carries."""
    if delivery.challenge is None:
        return _Mail(delivery.stored)
    return _Code(delivery, delivery.challenge)


@dataclass(frozen=True, slots=True)
class _Code(Payload):
    delivery: Delivery
    challenge: Challenge

    @property
    def is_first(self) -> bool:
        return self.delivery.created_at <= self.challenge.created_at

    @property
    def routes(self) -> Sequence[str]:
        return tuple(settings.of(self.challenge.purpose).ROUTES)

    @property
    def retry_seconds(self) -> Sequence[float]:
        return settings.RETRY_SECONDS

    @property
    def may_double(self) -> bool:
        return True

    def drop_reason(self) -> Reason | None:
        if self.challenge.state != ChallengeState.PENDING:
            return Reason(self.challenge.state)
        if self.challenge.is_decoy:
            return Reason.DECOY
        if self.challenge.generation != self.delivery.generation:
            return Reason.SUPERSEDED
        return None

    @sensitive_variables()
    def rendered(self) -> RenderedMessage | Reason:
        facts = purposes.unchanged_facts(self.challenge, lock=False)
        if facts is None:
            return Reason.CHANGED
        code = challenge_codes.code_of(self.challenge)
        if code is None:  # its key was revoked
            return Reason.CANCELLED
        return rendering.render(self.delivery, self.challenge, code, facts)

    def give_up(self, reason: Reason, now: datetime) -> None:
        closing.close(self.challenge, ChallengeState(reason), now=now)


@dataclass(frozen=True, slots=True)
class _Mail(Payload):
    stored: StoredMessage

    @property
    def is_first(self) -> bool:
        return True

    @property
    def routes(self) -> Sequence[str]:
        routes: Sequence[str] = self.stored.routes
        return routes

    @property
    def retry_seconds(self) -> Sequence[float]:
        return settings.MAIL_RETRY_SECONDS

    @property
    def may_double(self) -> bool:
        return False  # two newsletters are one too many; a code twice is the same code

    def drop_reason(self) -> Reason | None:
        return None

    @sensitive_variables()
    def rendered(self) -> RenderedMessage | Reason:
        stored = self.stored
        text = encryption.decrypt(bytes(stored.content), stored.key_id, stored.delivery_id)
        if text is None:
            return Reason.UNREADABLE
        return RenderedMessage(
            rendering.marked(serialization.deserialize(text), stored.delivery_id)
        )

    def give_up(self, reason: Reason, now: datetime) -> None:
        """Nothing hangs on it."""
