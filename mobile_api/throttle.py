"""How often signing in may fail: for a number at one client, for it at all others, for a client.

In: a member number as it was typed, the client. Out: room, or when there is.
Knows nothing of: members, PINs, so that a number that there is not looks like any other.

A client that signed the number in before is its own, and is counted by itself alone: a stranger at
one kiosk locks nobody out of another, and many strangers lock nobody out of their own. But whoever
tries one PIN with each number there is, is refused as a client; without a kiosk's key also by the
/56 and the /48 that its IPv6 address is in, which have wider caps.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from otpmail.challenges import Client
from otpmail.limits.counters import Allowance, look
from otpmail.limits.rates import of_client

OWN_KEPT = timedelta(days=180)
"""How long a client is a number's own after it last signed it in."""


class Throttle:
    """The counters of one number at one client."""

    def __init__(self, number: str, client: Client) -> None:
        pair = f"{number}\0{client.counted_as}"
        self._own = Allowance("own", pair, settings.SIGN_INS_HERE)
        self._here = Allowance("sign-in", pair, settings.SIGN_INS_HERE)
        self._anywhere = Allowance("sign-ins", number, settings.SIGN_INS_ANYWHERE)
        self._client = [*of_client("sign-in client", client, settings.SIGN_INS_CLIENT)]
        self._taken: list[Allowance] = []

    def take(self) -> datetime | None:
        """Count a failure before the PIN is looked at. Returns when there is room, if not now."""
        now = timezone.now()
        rows = look([self._own, self._here, self._anywhere, *self._client])
        anywhere = () if self._own.among(rows) else (self._anywhere,)
        with transaction.atomic():
            for allowance in (self._here, *anywhere, *self._client):
                retry_at: datetime | None = allowance.room_at(rows, now) or allowance.take(now)
                if retry_at is not None:
                    transaction.set_rollback(True)
                    return retry_at
                self._taken.append(allowance)
        return None

    def give_back(self) -> None:
        """Nothing failed."""
        with transaction.atomic():
            for allowance in self._taken:
                allowance.give_back()

    def know(self) -> None:
        """Take the client for the number's own from now on."""
        self._own.make(timezone.now(), kept=OWN_KEPT)
