"""One request for a code, and where it stands.

Rows are written by ``challenges``, ``limits.guesses_and_resends`` and ``closing`` alone.
Knows nothing of: its mails.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from otpmail.addresses.masking import mask
from otpmail.db import database
from otpmail.db.arguments import OWNER_LENGTH, PURPOSE_LENGTH
from otpmail.db.compat import uuid7
from otpmail.db.open_index import OpenIndex
from otpmail.display import references
from otpmail.display.zones import ZONE_LENGTH


class ChallengeState(models.TextChoices):
    """Where a challenge stands. Only a pending one can be confirmed; all others are final."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CHANGED = "changed"
    SUPERSEDED = "superseded"


class Challenge(database.Row):
    """One request to prove control of an address, for one purpose and owner."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    purpose = models.CharField(max_length=PURPOSE_LENGTH)
    owner = models.CharField(max_length=OWNER_LENGTH)
    recipient = models.EmailField()
    language = models.CharField(max_length=100, blank=True)
    time_zone = models.CharField(max_length=ZONE_LENGTH, blank=True)
    context = models.JSONField(default=dict)
    binding = models.BinaryField(max_length=32)
    """A keyed digest of all that the code stands for (``crypto.linking``)."""
    binding_version = models.PositiveSmallIntegerField()
    is_bound = models.BooleanField(default=False, db_default=False)
    """Whether the code stands for a transaction's facts."""
    key_id = models.CharField(max_length=50)
    nonce = models.BinaryField(max_length=16, null=True)
    older_nonces = models.BinaryField(null=True)
    """Of generations that a newer one killed, so that their codes are told from wrong ones."""
    is_decoy = models.BooleanField(default=False)
    """Nothing is mailed and no code is right: nobody is to learn whether the address is known."""
    digits = models.PositiveSmallIntegerField()
    generation = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=ChallengeState, default=ChallengeState.PENDING)
    failures = models.PositiveSmallIntegerField(default=0)
    sends = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    resend_at = models.DateTimeField()
    held_until = models.DateTimeField(null=True, blank=True)
    """The right code was typed, and until then this waits for the step that it was typed for."""
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=ChallengeState.values), name="otpmail_challenge_state"
            ),
            models.CheckConstraint(
                # The random bytes die with the challenge, and only then.
                condition=Q(state=ChallengeState.PENDING, ended_at=None, nonce__isnull=False)
                | (
                    ~Q(state=ChallengeState.PENDING)
                    & Q(ended_at__isnull=False, nonce=None, older_nonces=None)
                ),
                name="otpmail_challenge_ended",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=models.F("created_at"))
                & Q(closes_at__gte=models.F("expires_at")),
                name="otpmail_challenge_life",
            ),
            models.CheckConstraint(
                condition=Q(digits__range=(4, 10), generation__gte=1, sends__gte=1),
                name="otpmail_challenge_counts",
            ),
        ]
        indexes: ClassVar = [
            # closing.expire: pending challenges whose whole life is over
            OpenIndex(
                fields=["closes_at"],
                name="otpmail_closing",
                condition=Q(state=ChallengeState.PENDING),
                lead=("state",),
            ),
            # challenges.lookup.open_of: an owner's open challenges
            OpenIndex(
                fields=["owner"],
                name="otpmail_open",
                condition=Q(state=ChallengeState.PENDING),
                lead=("state",),
            ),
        ]

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"{self.purpose} {self.id} to {mask(self.recipient)} ({self.state})"

    @property
    def reference(self) -> str:
        """Six letters that tell a person which mail belongs to which request."""
        return references.of(self.id)

    @property
    def log_fields(self) -> str:
        """What may be logged of it."""
        return f"challenge={self.pk} purpose={self.purpose} to={mask(self.recipient)}"
