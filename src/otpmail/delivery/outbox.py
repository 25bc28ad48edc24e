"""The outbox: how a delivery comes to be, in the caller's transaction; what is told of it later.

In: challenges, stored messages, who holds the first lease. Out: rows.
Knows nothing of: codes, mails, engines.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings as django_settings
from django.db.models import Model, Q

from otpmail import addresses
from otpmail.conf import settings
from otpmail.db.compat import uuid7
from otpmail.db.statements import Insert, add
from otpmail.delivery import lease_rows, leases
from otpmail.models import (
    Attempt,
    Challenge,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Queue,
    Reason,
    StoredMessage,
)

EVENT_WEIGHTS = {
    DeliveryEvent.DEFERRED: 0,
    DeliveryEvent.DELIVERED: 1,
    DeliveryEvent.REJECTED: 1,
    DeliveryEvent.BOUNCED: 1,
    DeliveryEvent.COMPLAINED: 2,
}
"""Which report takes another's place; of equals the later one, at one moment the lower one here."""


def put(*rows: Model, holder: str) -> list[Delivery]:
    """Add rows in this order. Gives the deliveries among them.

    With a ``holder`` these are born leased, so nobody need claim them.
    """
    deliveries = [row for row in rows if isinstance(row, Delivery)]
    for delivery in deliveries if holder else ():
        delivery.leased_by = holder
        delivery.leased_until = leases.lease_end(delivery.created_at)
    add(*rows)
    return deliveries


def refuse(challenge: Challenge, *rows: Model, reason: Reason, now: datetime) -> Delivery:
    """Write down, after other rows, a mail that is not even tried: it has failed at once."""
    delivery = mail_of(challenge, now=now)
    delivery.state, delivery.reason, delivery.settled_at = DeliveryState.FAILED, reason, now
    add(*rows, delivery)
    return delivery


def mail_of(challenge: Challenge, *, now: datetime, avoid_route: str = "") -> Delivery:
    """Make the row of a mail of a challenge.

    ``avoid_route`` is the route that it does not take while there is another.
    """
    delivery_id = uuid7()
    least_life = timedelta(seconds=settings.of(challenge.purpose).LEAST_LIFE_SECONDS)
    return Delivery(
        id=delivery_id,
        challenge=challenge,
        generation=challenge.generation,
        message_id=f"<{delivery_id}@{_sender_domain()}>",
        created_at=now,
        due_at=now,
        deadline=challenge.expires_at - least_life,
        avoid_route=avoid_route,
    )


def own_mails(mails: Sequence[StoredMessage], *, now: datetime) -> list[Model]:
    """Complete the rows of a project's own mails; each brings a delivery with its Message-ID."""
    deliveries = [mail.delivery for mail in mails]
    for delivery in deliveries:
        delivery.queue = Queue.MAIL
        delivery.created_at = delivery.due_at = now
        delivery.deadline = now + timedelta(seconds=settings.MAIL_LIFE_SECONDS)
    return [*deliveries, *mails]


def routes_used(delivery: Delivery) -> list[str]:
    """Name the routes that took a mail of its challenge, or may have: the last one at the end."""
    mine = Q(delivery=delivery.pk)
    if delivery.challenge_id is not None:
        mine = Q(delivery__challenge=delivery.challenge_id)
    used = Attempt.objects.filter(mine, outcome__in=["accepted", "unknown"])
    routes = [
        *used.order_by("pk").values_list("route", flat=True),
        *filter(None, [delivery.avoid_route]),
    ]
    return list(dict.fromkeys(reversed(routes)))[::-1]


def attempts_by(delivery: Delivery, route: str) -> list[Attempt]:
    """Read what came of its attempts by a route."""
    return [*Attempt.objects.filter(delivery=delivery.pk, route=route)]


def record_event(delivery_id: UUID, event: DeliveryEvent, *, at: datetime, reason: str) -> bool:
    """Write down a delivery event, at any moment of the row's life. Returns whether it counts.

    The row keeps one report, the same whatever order they come in: a complaint before all else, a
    deferral after all else, and of the other three what happened last.
    """
    weight = EVENT_WEIGHTS[event]
    lighter = [other for other in DeliveryEvent if EVENT_WEIGHTS[other] < weight]
    peers = [other for other in DeliveryEvent if EVENT_WEIGHTS[other] == weight]
    yields = (
        Q(event__in=["", *lighter])
        | Q(event__in=peers, event_at__lt=at)
        | Q(event__in=peers[: peers.index(event)], event_at=at)
    )
    rows = Delivery.objects.filter(yields, pk=delivery_id)
    return rows.update(event=event, event_at=at, event_reason=reason) == 1


def note_render_failed(delivery: Delivery, holder: str) -> None:
    """Write down that this holder's process cannot make the mail."""
    lease_rows.held_by(holder).filter(pk=delivery.pk, render_failed=False).update(
        render_failed=True
    )


for _model in (Delivery, StoredMessage):
    Insert(_model)


def _sender_domain() -> str:
    return addresses.domain_of(settings.FROM or django_settings.DEFAULT_FROM_EMAIL) or "localhost"
