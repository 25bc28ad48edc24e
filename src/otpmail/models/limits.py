"""How much of each limit is taken, and which addresses take no mail. No row says for whom it is.

Rows are written by ``limits`` alone.
Knows nothing of: how long they are kept.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from otpmail.db import database
from otpmail.models.delivery import DeliveryEvent


class Suppression(database.Row):
    """An address that takes no mail for a while. The address itself is not kept."""

    digest = models.CharField(primary_key=True, max_length=64)
    """HMAC of the address, in hex."""
    reason = models.CharField(max_length=10, choices=DeliveryEvent)
    created_at = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(until__gt=models.F("created_at")), name="otpmail_suppression_life"
            ),
        ]

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"{self.reason} until {self.until:%Y-%m-%d}"


class Counter(database.Row):
    """How much of an hour's and a day's allowance is taken. Times are milliseconds since 1970."""

    id = models.UUIDField(primary_key=True, editable=False)
    """An HMAC of the kind and of whom it is for: the row does not tell."""
    kind = models.CharField(max_length=20)
    hour_until = models.BigIntegerField(default=0)
    """When all that was taken of the hour's allowance is regained."""
    day_until = models.BigIntegerField(default=0)
    locked_out_until = models.BigIntegerField(default=0)
    lockout_ms = models.BigIntegerField(default=0)
    """How long the newest wait is; the next one is longer."""
    kept_until = models.BigIntegerField()

    class Meta:
        indexes: ClassVar = [
            # limits.counters.prune: what nobody counted by for long
            models.Index(fields=["kept_until"], name="otpmail_counter_kept"),
        ]

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"{self.kind} {self.id}"
