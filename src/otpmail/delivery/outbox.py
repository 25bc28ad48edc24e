"""The outbox: how a delivery comes to be, in the caller's transaction; what is told of it later.

In: challenges, stored messages, who holds the first lease. Out: rows.
Knows nothing of: codes, mails, engines.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings as django_settings
from django.db.models import Model, Q

from otpmail import addresses
from otpmail.conf import settings
from otpmail.db.compat import uuid7
from otpmail.db.statements import Insert, add
from otpmail.delivery import leases
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


def put(
    challenge: Challenge,
    *rows: Model,
    now: datetime,
    holder: str,
    avoid_route: str = "",
) -> Delivery:
    """Promise one mail. With an ``holder`` the row is born leased, so nobody need claim it.

    ``rows`` are added before it. ``avoid_route`` is the route that it does not take while there is
    another.
    """
    return _put(
        challenge,
        rows,
        now,
        avoid_route=avoid_route,
        leased_by=holder,
        leased_until=leases.lease_end(now) if holder else None,
    )


def refuse(challenge: Challenge, *rows: Model, reason: Reason, now: datetime) -> Delivery:
    """Write down a mail that is not even tried: it has failed when it is asked for."""
    return _put(challenge, rows, now, state=DeliveryState.FAILED, reason=reason, settled_at=now)


def put_mails(mails: Collection[StoredMessage], *, now: datetime, holder: str) -> list[Delivery]:
    """Promise a project's own mails; each brings its delivery, with an id and a Message-ID."""
    deliveries = [mail.delivery for mail in mails]
    for delivery in deliveries:
        delivery.queue = Queue.MAIL
        delivery.created_at = delivery.due_at = now
        delivery.deadline = now + timedelta(seconds=settings.MAIL_LIFE_SECONDS)
        delivery.leased_by = holder
        delivery.leased_until = leases.lease_end(now) if holder else None
    add(*deliveries, *mails)
    return deliveries


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
    leases.held_by(holder).filter(pk=delivery.pk, render_failed=False).update(render_failed=True)


def _put(challenge: Challenge, rows: Sequence[Model], now: datetime, **columns: object) -> Delivery:
    delivery_id = uuid7()
    least_life = timedelta(seconds=settings.of(challenge.purpose).LEAST_LIFE_SECONDS)
    delivery = Delivery(
        id=delivery_id,
        challenge=challenge,
        generation=challenge.generation,
        message_id=f"<{delivery_id}@{_sender_domain()}>",
        created_at=now,
        due_at=now,
        deadline=challenge.expires_at - least_life,
        **columns,
    )
    add(*rows, delivery)
    return delivery


for _model in (Delivery, StoredMessage):
    Insert(_model)


def _sender_domain() -> str:
    return addresses.domain_of(settings.FROM or django_settings.DEFAULT_FROM_EMAIL) or "localhost"
