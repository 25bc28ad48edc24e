"""What a person's step came to. A mistake is a result, never an exception.

Match on the class: each tells its own members, and what the person can do next.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from otpmail.models import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A challenge stands and its mail is promised, once the caller's transaction commits."""

    challenge_id: UUID
    reference: str
    recipient: str
    """Masked: ``a***@example.org``."""
    digits: int
    expires_at: datetime
    resend_at: datetime
    guesses_left: int
    sends_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """One more mail is promised. A new ``generation`` means a new code: the older is dead."""

    generation: int
    expires_at: datetime
    resend_at: datetime
    sends_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooSoon:
    """The cool-down is not over; ask again at ``retry_at``."""

    retry_at: datetime


class Cap(Enum):
    """What there was too much of."""

    SENDS = "sends"
    """Mails for this challenge."""
    RECIPIENT = "recipient"
    """Mails to this address."""
    CLIENT = "client"
    """Mails that this client asked for."""
    OPEN = "open"
    """Challenges that the subject has open."""
    FAILURES = "failures"
    """Wrong codes of this subject, over all its challenges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverCap:
    """No more mails; ask again at ``retry_at``, or never if it is None. Nothing was spent."""

    retry_at: datetime | None
    cap: Cap = Cap.SENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The right code: the challenge is confirmed, and what it stood for is done."""

    confirmed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """No code at all, so no guess was spent."""

    digits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Not the code, and a guess was spent."""

    guesses_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """The code of an older generation: a guess was spent, and the newest mail has the live code.

    ``can_resend``: a resend can make a newer one still.
    """

    guesses_left: int
    can_resend: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyUsed:
    """The code was right before."""

    confirmed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """It is over: expired, exhausted, cancelled or changed.

    ``can_resend``: only this generation is over, and a resend makes a new code.
    """

    state: State
    can_resend: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Ended as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """No such challenge, or somebody else's: both look alike."""
