"""What still stands under a key, and until when: what would be lost with it.

In: a key's id. Out: a `Standing` for each kind of row that names a key.
Knows nothing of: how a key is taken out.

Rows tell whether a key is in use, and no process can: another one may have newer settings. What
keeps only a digest (suppressions, counters) names no key; it is not lost that a person would miss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, QuerySet

from otpmail.conf import settings
from otpmail.models import AuditEntry, AuditSeal, Challenge, Delivery, DeliveryState, State
from otpmail.models.audit import Deed


@dataclass(frozen=True, slots=True)
class Standing:
    """So many rows of one kind, and when the last of them needs the key no more; None: never."""

    what: str
    count: int
    until: datetime | None


def standing(key_id: str) -> Sequence[Standing]:
    """Tell what is lost if this key goes.

    Pending challenges and sealed mail end. The audit's seals under it prove nothing any more, and
    of its entries nobody can tell whose they are, to export or to erase them.
    """
    pending = Challenge.objects.filter(state=State.PENDING, key_id=key_id)
    sealed = Delivery.objects.filter(state=DeliveryState.QUEUED, sealed__key_id=key_id)
    return [
        Standing(
            "pending challenges", **pending.aggregate(count=Count("pk"), until=Max("closes_at"))
        ),
        Standing("sealed mails", **sealed.aggregate(count=Count("pk"), until=Max("deadline"))),
        _audited("seals of the audit", AuditSeal.objects.filter(key_id=key_id)),
        _audited("issues in the audit", AuditEntry.objects.filter(deed=Deed.ISSUED, key_id=key_id)),
    ]


def _audited(what: str, rows: QuerySet[Any]) -> Standing:
    found = rows.aggregate(count=Count("pk"), last=Max("at"))
    days = settings.AUDIT_KEEP_DAYS
    until = found["last"] + timedelta(days=days) if days and found["last"] else None
    return Standing(what, found["count"], until)


def receipts(key_id: str) -> int:
    """Count the confirmed challenges that are kept, whose receipts only this key can check."""
    return Challenge.objects.filter(state=State.CONFIRMED, key_id=key_id).count()
