"""How often signing in may fail: for a number at one client, and for it at all others together.

In: a member number as it was typed, the client. Out: room, or when there is.
Knows nothing of: members, PINs, so that a number that there is not looks like any other.

A client that signed the number in before is its own, and is counted by itself alone: a stranger at
one kiosk locks nobody out of another, and many strangers lock nobody out of their own.
"""

from datetime import datetime, timedelta

from django.conf import settings

from otpmail import database
from otpmail.clients import Client
from otpmail.counters import Allowance

OWN_KEPT = timedelta(days=180)
"""How long a client is a number's own after it last signed it in."""


class Throttle:
    """The counters of one number at one client."""

    def __init__(self, number: str, client: Client) -> None:
        pair = f"{number}\0{client.counted_as}"
        self._own = Allowance("own", pair, settings.SIGN_INS_HERE)
        self._here = Allowance("sign-in", pair, settings.SIGN_INS_HERE)
        self._anywhere = Allowance("sign-ins", number, settings.SIGN_INS_ANYWHERE)
        self._taken: list[Allowance] = []

    def take(self) -> datetime | None:
        """Count a failure before the PIN is looked at. Returns when there is room, if not now."""
        now = database.now()
        is_own = self._own.row().exists()
        with database.atomic():
            for allowance in (self._here,) if is_own else (self._here, self._anywhere):
                retry_at = allowance.take(now)
                if retry_at is not None:
                    database.roll_back()
                    return retry_at
                self._taken.append(allowance)
        return None

    def give_back(self) -> None:
        """Nothing failed, and the client is the number's own from now on."""
        with database.atomic():
            for allowance in self._taken:
                allowance.give_back()
            self._own.make(database.now(), kept=OWN_KEPT)
