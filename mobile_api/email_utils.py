"""Where the kiosk asks for mail."""

from otpmail.binding import Facts
from otpmail.models import Challenge


def facts(challenge: Challenge, *, lock: bool) -> Facts | None:  # noqa: ARG001
    """Read what a transfer's code is bound to."""
    return None
