"""Money is whole minor units, and no row can hold a state that the cooperative forbids.

Members and their tokens, accounts, transfers and their ledger entries, and the answers kept for
repeated requests. Rows of the ledger are written by ``ledger`` alone.
"""

from typing import ClassVar
from uuid import UUID, uuid4

from django.db import models
from django.db.models import F, Q

from otpmail import receipts
from otpmail.db.append_only import AppendOnly

MAX_AMOUNT_MINOR = 999_999_999_999
"""The largest transfer: far above any real one, and far below what a BIGINT column can hold."""


class Member(models.Model):
    """Somebody of the cooperative."""

    number = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)
    email = models.EmailField()
    pin = models.CharField(max_length=128)
    """Hashed by Django's password hashers."""

    def __str__(self) -> str:
        """Name the member by number: names and addresses stay out of logs."""
        return f"member {self.number}"


class Token(models.Model):
    """A bearer token, of which only the SHA-256 is kept."""

    # No reader looks a member's tokens up, so there is no index for it.
    member = models.ForeignKey(Member, models.CASCADE, db_index=False)
    digest = models.CharField(max_length=64, unique=True)
    client = models.CharField(max_length=120, blank=True)
    """Where it was given: a kiosk's name, or an address."""
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    """When it was last used, to half a minute."""
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("created_at")), name="mobile_api_token_life"
            ),
        ]

    def __str__(self) -> str:
        return f"token of {self.member_id}"


class AccountKind(models.TextChoices):
    """What an account is for."""

    CURRENT = "current"
    SAVINGS = "savings"
    COOPERATIVE = "cooperative"
    """The cooperative's own, where money enters and leaves the books: it alone may be negative."""


class Account(models.Model):
    """Where money is. ``number`` is what people are shown and type."""

    number = models.CharField(max_length=20, unique=True)
    # Indexed for its reader: a member's accounts.
    member = models.ForeignKey(Member, models.PROTECT, null=True, blank=True)
    kind = models.CharField(max_length=12, choices=AccountKind, default=AccountKind.CURRENT)
    currency = models.CharField(max_length=3)
    """ISO 4217."""
    balance_minor = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(balance_minor__gte=0) | Q(kind=AccountKind.COOPERATIVE),
                name="mobile_api_account_balance",
            ),
            models.CheckConstraint(
                condition=Q(kind=AccountKind.COOPERATIVE, member=None)
                | Q(kind__in=[AccountKind.CURRENT, AccountKind.SAVINGS], member__isnull=False),
                name="mobile_api_account_owner",
            ),
        ]

    def __str__(self) -> str:
        return f"account {self.number}"

    def can_pay(self, amount_minor: int) -> bool:
        """Tell whether this much may leave it."""
        return self.kind == AccountKind.COOPERATIVE or self.balance_minor >= amount_minor


class TransferState(models.TextChoices):
    """Where a transfer stands. All but pending are final."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Reason(models.TextChoices):
    """Why a transfer was cancelled, or rejected."""

    CANCELLED = "cancelled"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    CHANGED = "changed"
    SUPERSEDED = "superseded"
    INSUFFICIENT_FUNDS = "insufficient-funds"


class Transfer(models.Model):
    """Money on its way from one account to another, once its code has been typed."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # No reader looks an account's transfers up (its statement is its entries), hence no indexes.
    payer = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    payee = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    memo = models.CharField(max_length=140, blank=True)
    state = models.CharField(max_length=10, choices=TransferState, default=TransferState.PENDING)
    reason = models.CharField(max_length=20, choices=Reason, blank=True)
    # No foreign key, since otpmail purges its challenges. None: the cooperative's own booking.
    # Unique, and so indexed for its reader: email_utils.facts.
    challenge_id = models.UUIDField(null=True, blank=True, unique=True)
    receipt = models.CharField(max_length=receipts.MAX_LENGTH, blank=True)
    """otpmail's proof that the code was typed; the ledger posts on it."""
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(amount_minor__range=(1, MAX_AMOUNT_MINOR)),
                name="mobile_api_transfer_amount",
            ),
            models.CheckConstraint(
                condition=~Q(payer=F("payee")), name="mobile_api_transfer_accounts"
            ),
            models.CheckConstraint(
                condition=Q(state=TransferState.PENDING, reason="", ended_at=None)
                | Q(state=TransferState.CONFIRMED, reason="", ended_at__isnull=False)
                | Q(
                    state=TransferState.CANCELLED,
                    reason__in=[r for r in Reason if r != Reason.INSUFFICIENT_FUNDS],
                    ended_at__isnull=False,
                )
                | Q(
                    state=TransferState.REJECTED,
                    reason=Reason.INSUFFICIENT_FUNDS,
                    ended_at__isnull=False,
                ),
                name="mobile_api_transfer_state",
            ),
            models.CheckConstraint(
                # What a code confirmed keeps its receipt; nothing else has one.
                condition=Q(state=TransferState.CONFIRMED, challenge_id__isnull=False)
                & ~Q(receipt="")
                | Q(receipt="")
                & (~Q(state=TransferState.CONFIRMED) | Q(challenge_id__isnull=True)),
                name="mobile_api_transfer_receipt",
            ),
        ]

    def __str__(self) -> str:
        return f"transfer {self.id} ({self.state})"

    @property
    def challenge(self) -> UUID:
        """The id of the challenge that confirms it. The cooperative's own bookings have none."""
        if self.challenge_id is None:
            raise ValueError(f"{self} is confirmed by no code")
        return self.challenge_id


class Entry(AppendOnly):
    """One line of the ledger: what a transfer did to one account. Never changed, never deleted."""

    transfer = models.ForeignKey(Transfer, models.PROTECT, related_name="entries", db_index=False)
    # Indexed for its reader: an account's statement.
    account = models.ForeignKey(Account, models.PROTECT, related_name="entries")
    amount_minor = models.BigIntegerField()
    """What came in, or with a minus what went out. A transfer's entries add up to nought."""

    REFUSAL = "what is booked stays booked: post another transfer instead"

    class Meta:
        verbose_name_plural = "entries"
        constraints: ClassVar = [
            # A transfer is posted once; also the index that reads a transfer's entries.
            models.UniqueConstraint(
                fields=["transfer", "account"], name="mobile_api_entry_posted_once"
            ),
            models.CheckConstraint(
                condition=~Q(amount_minor=0), name="mobile_api_entry_moves_money"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount_minor:+d} on {self.account_id} by {self.transfer_id}"


class IdempotencyKey(models.Model):
    """A request that was carried out, and the answer it got."""

    # Found by the unique index below, which begins with it.
    member = models.ForeignKey(Member, models.CASCADE, db_index=False)
    key = models.CharField(max_length=100)
    fingerprint = models.CharField(max_length=64)
    """Keyed digest of what was asked: a body can hold a code, so a plain one would give it away."""
    status = models.PositiveSmallIntegerField()
    location = models.CharField(max_length=200, blank=True)
    body = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            # Also the index for its reader: idempotency.find.
            models.UniqueConstraint(
                fields=["member", "key"], name="mobile_api_idempotency_key_once"
            ),
        ]

    def __str__(self) -> str:
        return f"key of {self.member_id}, answered {self.status}"
