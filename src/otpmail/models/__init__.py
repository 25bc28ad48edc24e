"""No row but a legal one: each law of the tables is a constraint of the database.

Challenges, the outbox of deliveries, stored messages, attempts, suppressed addresses, counters and
the audit. A code is in none of them. Rows are written by ``challenges``, ``limits``,
``closing``, ``delivery.outbox`` and ``audit`` alone. ``models.audit`` has the rows of the audit.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from otpmail.addresses.masking import mask
from otpmail.db import database, nullable_cascade
from otpmail.db.arguments import OWNER_LENGTH, PURPOSE_LENGTH
from otpmail.db.compat import uuid7
from otpmail.db.open_index import OpenIndex
from otpmail.display import references
from otpmail.display.zones import ZONE_LENGTH
from otpmail.models.audit import AuditEntry as AuditEntry
from otpmail.models.audit import AuditSeal as AuditSeal


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


class Queue(models.TextChoices):
    """What a delivery carries. What is kept for codes, other mail does not get."""

    CODE = "code"
    MAIL = "mail"


class DeliveryState(models.TextChoices):
    """Where a delivery stands. All but queued are final."""

    QUEUED = "queued"
    ACCEPTED = "accepted"
    FAILED = "failed"
    DROPPED = "dropped"


SETTLED = [DeliveryState.ACCEPTED.value, DeliveryState.FAILED.value, DeliveryState.DROPPED.value]


class Reason(models.TextChoices):
    """Why a delivery failed or was dropped."""

    CONFIRMED = "confirmed"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CHANGED = "changed"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    GAVE_UP = "gave up"
    DECOY = "decoy"
    SUPPRESSED = "suppressed"
    UNREADABLE = "unreadable"  # a stored message whose key was revoked, or whose seal is broken
    RESTORED = "restored"  # it waited in a dump, and whoever restored that would not have it sent


class DeliveryEvent(models.TextChoices):
    """What a provider told of a mail after it had taken it."""

    DEFERRED = "deferred"
    """The recipient's server asked to come again; the provider will."""
    DELIVERED = "delivered"
    """The recipient's server took it."""
    REJECTED = "rejected"
    """The provider itself would not send it on."""
    BOUNCED = "bounced"
    """The recipient's server refused it, or took it and sent it back."""
    COMPLAINED = "complained"
    """The recipient called it spam, so it was delivered."""


class Delivery(database.Row):
    """One mail that was promised: a row of the outbox."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    challenge = models.ForeignKey(
        Challenge,
        nullable_cascade.cascade_nullable,
        related_name="deliveries",
        null=True,
        blank=True,
    )
    generation = models.PositiveSmallIntegerField(null=True, blank=True)
    queue = models.CharField(max_length=4, choices=Queue, default=Queue.CODE)
    message_id = models.TextField()
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.QUEUED)
    reason = models.CharField(max_length=10, choices=Reason, blank=True)
    avoid = models.CharField(max_length=50, blank=True)
    """The route on which this code's mail came to grief before."""
    is_log_mail = models.BooleanField(default=False, db_default=False)
    """Whether a log handler made it: what becomes of it is told nobody by mail."""
    render_failed = models.BooleanField(default=False, db_default=False)
    """Whether a courier could not make the mail: who waits for it is told to ask again."""
    event = models.CharField(max_length=10, choices=DeliveryEvent, blank=True)
    event_at = models.DateTimeField(null=True, blank=True)
    event_reason = models.CharField(max_length=200, blank=True)
    rounds = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    deadline = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=80, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(queue=Queue.CODE, challenge__isnull=False, generation__isnull=False)
                | Q(queue=Queue.MAIL, challenge__isnull=True, generation__isnull=True),
                name="otpmail_delivery_queue",
            ),
            models.CheckConstraint(
                condition=Q(state=DeliveryState.QUEUED, settled_at=None)
                | Q(
                    state__in=SETTLED,
                    settled_at__isnull=False,
                ),
                name="otpmail_delivery_settled",
            ),
            models.CheckConstraint(
                condition=Q(leased_by="", leased_until=None)
                | (~Q(leased_by="") & Q(leased_until__isnull=False, state=DeliveryState.QUEUED)),
                name="otpmail_delivery_lease",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[DeliveryState.FAILED, DeliveryState.DROPPED],
                    reason__in=Reason.values,
                )
                | Q(state__in=[DeliveryState.QUEUED, DeliveryState.ACCEPTED], reason=""),
                name="otpmail_delivery_reason",
            ),
            models.CheckConstraint(
                condition=Q(event="", event_at=None, event_reason="")
                | Q(event__in=DeliveryEvent.values, event_at__isnull=False),
                name="otpmail_delivery_event",
            ),
        ]
        indexes: ClassVar = [
            # delivery.leases.claim: what is due and nobody's, a queue at a time
            OpenIndex(
                fields=["queue", "due_at"],
                name="otpmail_due",
                condition=Q(state=DeliveryState.QUEUED, leased_by=""),
                lead=("state", "leased_by"),
            ),
            # delivery.leases.reap: leases, to see which lapsed or whose owner died
            OpenIndex(
                fields=["leased_until"],
                name="otpmail_leased",
                condition=Q(leased_until__isnull=False),
            ),
            # operations.stats.unsent and the admin: what failed or was dropped
            OpenIndex(
                fields=["settled_at"],
                name="otpmail_unsent",
                condition=Q(reason__gt=""),
                lead=("state",),
            ),
        ]

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"{self.id} ({self.state})"

    @property
    def log_fields(self) -> str:
        """What may be logged of what it carries."""
        if self.challenge is None:
            return f"to={self.stored.to} recipients={self.stored.recipients}"
        return self.challenge.log_fields


class StoredMessage(database.Row):
    """A project's own mail, encrypted; it is erased when its delivery is settled."""

    delivery = models.OneToOneField(
        Delivery, models.CASCADE, primary_key=True, related_name="stored"
    )
    key_id = models.CharField(max_length=50)
    content = models.BinaryField()
    routes = models.JSONField()
    to = models.CharField(max_length=320)
    recipients = models.PositiveIntegerField()

    class Meta:
        """Its own, so that the base's options are none of a migration."""

    def __str__(self) -> str:
        """Name it by what may be logged: ``to`` is its first recipient, masked."""
        return f"{self.delivery_id} to {self.to}"


class Attempt(database.Row):
    """One try to hand a delivery to one route, and the reply that came of it."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempts")
    route = models.CharField(max_length=50)
    started_at = models.DateTimeField()
    took_ms = models.PositiveIntegerField()
    outcome = models.CharField(max_length=10)
    code = models.PositiveSmallIntegerField(null=True, blank=True)
    reply = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(outcome__in=["accepted", "transient", "permanent", "unknown"]),
                name="otpmail_attempt_outcome",
            ),
        ]

    def __str__(self) -> str:
        """Name it by what may be logged."""
        return f"{self.outcome} by {self.route}"


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
