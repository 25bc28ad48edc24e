"""What still stands under a key, and until when: what would be lost with it.

In: a key's id, the time. Out: a `Standing` for each kind of row that names a key.
Knows nothing of: settings, how a key is taken out.

Rows tell whether a key is in use, and no process can: another one may have newer settings. What
keeps only a digest (suppressions, counters) names no key; it is not lost that a person would miss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max

from otpmail.models import Challenge, Delivery, DeliveryState, State


@dataclass(frozen=True, slots=True)
class Standing:
    """So many rows of one kind, and when the last of them needs the key no more."""

    what: str
    count: int
    until: datetime | None


def standing(key_id: str) -> Sequence[Standing]:
    """Tell what ends if this key goes: challenges that are pending, and mail that is sealed."""
    pending = Challenge.objects.filter(state=State.PENDING, key_id=key_id)
    sealed = Delivery.objects.filter(state=DeliveryState.QUEUED, sealed__key_id=key_id)
    return [
        Standing(
            "pending challenges", **pending.aggregate(count=Count("pk"), until=Max("closes_at"))
        ),
        Standing("sealed mails", **sealed.aggregate(count=Count("pk"), until=Max("deadline"))),
    ]


def receipts(key_id: str) -> int:
    """Count the confirmed challenges that are kept, whose receipts only this key can check."""
    return Challenge.objects.filter(state=State.CONFIRMED, key_id=key_id).count()
