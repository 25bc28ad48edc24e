"""The outbox: a row for each mail, what it carries, and what came of each attempt to send it.

Rows are written by ``delivery`` alone. A code is in none of them.
Knows nothing of: leases' length, routes.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from otpmail.db import database, nullable_cascade
from otpmail.db.compat import uuid7
from otpmail.db.open_index import OpenIndex
from otpmail.models.challenge import Challenge


class Queue(models.TextChoices):
    """What a delivery waits in. What is kept for codes, other mail does not get."""

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
    UNREADABLE = "unreadable"  # a stored message whose key was revoked, or that was changed
    RESTORED = "restored"  # it waited in a dump, and whoever restored that would not have it sent


class DeliveryEvent(models.TextChoices):
    """What a provider reports of a mail after it took it."""

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
    """One mail: a row of the outbox."""

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
    avoid_route = models.CharField(max_length=50, blank=True)
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
            return f"to={self.stored.to} recipients={self.stored.recipient_count}"
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
    recipient_count = models.PositiveIntegerField()

    class Meta:
        """Its own, so that the base's options are none of a migration."""

    def __str__(self) -> str:
        """Name it by what may be logged: ``to`` is its first recipient, masked."""
        return f"{self.delivery_id} to {self.to}"


class Attempt(database.Row):
    """One try to send a delivery through one route, and the reply that came of it."""

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
