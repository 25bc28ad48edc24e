"""What still stands under a key, and until when: what would be lost with it.

In: a key's id. Out: a `CircuitState` for each kind of row that names a key.
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
from otpmail.models import AuditEntry, AuditSeal, Challenge, ChallengeState, Delivery, DeliveryState
from otpmail.models.audit import AuditAction


@dataclass(frozen=True, slots=True)
class KeyUse:
    """So many rows of one kind, and when the last of them needs the key no more; None: never."""

    what: str
    count: int
    until: datetime | None


def key_uses(key_id: str) -> Sequence[KeyUse]:
    """Tell what is lost if this key goes.

    Pending challenges and stored messages end. The audit's seals under it prove nothing any more,
    and of its entries nobody can tell whose they are, to export or to erase them.
    """
    pending = Challenge.objects.filter(state=ChallengeState.PENDING, key_id=key_id)
    stored = Delivery.objects.filter(state=DeliveryState.QUEUED, stored__key_id=key_id)
    return [
        KeyUse(
            "pending challenges", **pending.aggregate(count=Count("pk"), until=Max("closes_at"))
        ),
        KeyUse("stored messages", **stored.aggregate(count=Count("pk"), until=Max("deadline"))),
        _audited("seals of the audit", AuditSeal.objects.filter(key_id=key_id)),
        _audited(
            "issues in the audit",
            AuditEntry.objects.filter(action=AuditAction.ISSUED, key_id=key_id),
        ),
    ]


def _audited(what: str, rows: QuerySet[Any]) -> KeyUse:
    found = rows.aggregate(count=Count("pk"), last=Max("at"))
    days = settings.AUDIT_KEEP_DAYS
    until = found["last"] + timedelta(days=days) if days and found["last"] else None
    return KeyUse(what, found["count"], until)


def receipts(key_id: str) -> int:
    """Count the confirmed challenges that are kept, whose receipts only this key can check."""
    return Challenge.objects.filter(state=ChallengeState.CONFIRMED, key_id=key_id).count()
