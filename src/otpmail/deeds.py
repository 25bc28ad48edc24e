"""The audit's table: what was done, by whom, to which challenge. No code, no full address.

In: nothing but what ``audit`` writes. Out: rows that stay when challenges are pruned.
Knows nothing of: challenges' rows, why a deed was done.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from otpmail.append_only import AppendOnly

ADDRESS_LENGTH = 45
CREDENTIAL_LENGTH = 100


class Deed(models.TextChoices):
    """What an entry of the audit tells."""

    ISSUED = "issued"
    MAILED = "mailed"
    RESENT = "resent"
    REISSUED = "reissued"
    WRONG = "wrong"
    HELD = "held"
    EXHAUSTED = "exhausted"
    CONFIRMED = "confirmed"
    CHANGED = "changed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class AuditEntry(AppendOnly):
    """One deed. The database too refuses to change or delete it (migration 0002)."""

    at = models.DateTimeField()
    deed = models.CharField(max_length=10, choices=Deed)
    # No foreign key: challenges are purged, and what was done stays. Indexed for who looks it up.
    challenge_id = models.UUIDField(db_index=True)
    generation = models.PositiveSmallIntegerField()
    purpose = models.CharField(max_length=50)
    recipient = models.CharField(max_length=254)
    """Masked."""
    address = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    credential = models.CharField(max_length=CREDENTIAL_LENGTH, blank=True)
    key_id = models.CharField(max_length=50)

    REFUSAL = "the audit is only added to"

    class Meta:
        """Laws."""

        verbose_name_plural = "audit entries"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(deed__in=Deed.values), name="otpmail_audit_deed"),
        ]

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"{self.deed} {self.challenge_id}"
