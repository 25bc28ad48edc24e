"""The audit's table: what was done, by whom, to which challenge. No code, no full address.

In: nothing but what ``audit`` writes. Out: rows that stay when challenges are pruned.
Knows nothing of: challenges' rows, why it was done.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from otpmail.db.append_only import AppendOnly

ADDRESS_LENGTH = 45
CREDENTIAL_LENGTH = 100
MAC_LENGTH = 64

PERSONAL = ("recipient", "address", "credential", "recipient_mac", "owner_mac")
"""Columns that ``otpmail_erase`` empties: the one change that the database lets pass."""


class AuditAction(models.TextChoices):
    """What an entry of the audit says was done."""

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
    ERASED = "erased"
    """What the other entries tell of a person is masked (``otpmail_erase``)."""


class AuditEntry(AppendOnly):
    """One action. The database too refuses to change or delete it (migration 0001)."""

    at = models.DateTimeField()
    action = models.CharField(max_length=10, choices=AuditAction)
    # No foreign key: challenges are purged, and what was done stays. Indexed for who looks it up.
    challenge_id = models.UUIDField(db_index=True)
    generation = models.PositiveSmallIntegerField()
    purpose = models.CharField(max_length=50)
    recipient = models.CharField(max_length=254)
    """Masked."""
    address = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    credential = models.CharField(max_length=CREDENTIAL_LENGTH, blank=True)
    key_id = models.CharField(max_length=50)
    recipient_mac = models.CharField(max_length=MAC_LENGTH, blank=True, db_default="")
    owner_mac = models.CharField(max_length=MAC_LENGTH, blank=True, db_default="")
    """Of an issue: by these a person's entries are found when their challenge is gone."""

    REFUSAL = "the audit is only added to"

    class Meta:
        verbose_name_plural = "audit entries"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(action__in=AuditAction.values), name="otpmail_audit_action"
            ),
        ]

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"{self.action} {self.challenge_id}"


class AuditSeal(AppendOnly):
    """A link of the chain over the audit (``audit.chain``): entries, under one keyed digest."""

    number = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    key_id = models.CharField(max_length=50)
    after = models.PositiveBigIntegerField()
    """The last entry of the seal before."""
    last = models.PositiveBigIntegerField()
    missing = models.JSONField()
    """Ids up to the last one of which no entry was there: a later seal takes them if they come."""
    pruned = models.PositiveBigIntegerField()
    """Up to this entry all may be deleted: their time is over."""
    entries = models.BinaryField()
    """Of each its id, a digest of what is told, and one of what is told of a person."""
    previous = models.BinaryField(max_length=32)
    digest = models.BinaryField(max_length=32)

    REFUSAL = "a seal of the audit stays as it is"

    class Meta:
        """Its own, so that the base's options are none of a migration."""

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"seal {self.number} of the audit"
