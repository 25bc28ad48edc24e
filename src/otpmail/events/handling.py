"""What follows from a delivery event.

In: a delivery's id and a `ReceivedEvent`. Out: rows, and a signal once they are committed.
Knows nothing of: providers, HTTP.

1. Lock the challenge, then record the event, with no code and no address in its words. One that
   was heard before, or comes late, ends here.
2. What arrived, or cannot, was accepted, whatever is known of its attempts: it is not tried again.
3. An address that is dead, or whose owner complained, is suppressed; one that takes mail is not.
4. What did not get through leaves once more by another route, while its code is of use.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.views.decorators.debug import sensitive_variables

from otpmail.challenges import resending
from otpmail.conf import settings
from otpmail.crypto import challenge_codes
from otpmail.db import database
from otpmail.delivery import outbox, settling
from otpmail.display import redaction
from otpmail.display.redaction import redact
from otpmail.exceptions import NotHereError, foreign
from otpmail.limits import suppressions
from otpmail.models import Attempt, Challenge, Delivery, DeliveryEvent
from otpmail.outcomes import REPLY_LENGTH, words
from otpmail.signals import delivery_event_received

NOT_THROUGH = frozenset({DeliveryEvent.DEFERRED, DeliveryEvent.REJECTED, DeliveryEvent.BOUNCED})
"""It did not get through, or will not in time: a queue waits for half an hour between two attempts
(RFC 5321, 4.5.4.1), and a code lives for ten minutes."""

ARRIVED = frozenset({DeliveryEvent.DELIVERED, DeliveryEvent.COMPLAINED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEvent:
    """One event of a mail. ``reason`` is the provider's, as it came."""

    kind: DeliveryEvent
    at: datetime
    reason: str = ""
    address_is_dead: bool = False
    """It takes no mail from anybody, now or next week."""


def handle(delivery_id: UUID, received: ReceivedEvent) -> bool:
    """Handle an event, in one transaction. Returns False if there is no such delivery."""
    rows = Delivery.objects.all()
    with database.atomic():
        delivery = rows.filter(pk=delivery_id).first()
        if delivery is None:
            return False
        challenges_ = Challenge.objects.select_for_update()
        challenge = challenges_.filter(deliveries=delivery).first()
        received = replace(received, reason=_told(received.reason, challenge))
        if outbox.record_event(delivery_id, received.kind, at=received.at, reason=received.reason):
            route = _last_route(delivery, challenge)
            if received.kind in ARRIVED or received.address_is_dead:
                settling.accept(delivery, now=database.now())
            if challenge is not None:  # a code, and not a project's own mail
                _follow(delivery, challenge, received, route)
            _tell(delivery, received, route)
    return True


@sensitive_variables()
def _told(text: str, challenge: Challenge | None) -> str:
    try:
        codes = challenge_codes.codes_of(challenge) if challenge is not None else []
    except NotHereError:  # what cannot be looked for may be anywhere
        return re.sub(r"\d", redaction.STAR, redact(words(text)))[:REPLY_LENGTH]
    return redact(words(text), codes)[:REPLY_LENGTH]


def _follow(delivery: Delivery, challenge: Challenge, received: ReceivedEvent, route: str) -> None:
    if received.address_is_dead or received.kind is DeliveryEvent.COMPLAINED:
        suppressions.suppress(challenge.recipient, received.kind, since=received.at)
    elif received.kind is DeliveryEvent.DELIVERED:
        suppressions.lift(challenge.recipient, now=received.at)
    if received.kind in NOT_THROUGH:
        resending.resend_by_other_route(delivery, challenge, avoid_route=route, now=database.now())


def _tell(delivery: Delivery, received: ReceivedEvent, route: str) -> None:
    delivery.event, delivery.event_at = received.kind, received.at
    delivery.event_reason = received.reason

    def kept() -> None:
        foreign.send_signal(
            delivery_event_received, sender=Delivery, delivery=delivery, route=route
        )

    database.on_commit(kept)


def _last_route(delivery: Delivery, challenge: Challenge | None) -> str:
    # A provider can be faster than our own note of the attempt: then it is the first route.
    attempts = Attempt.objects.filter(delivery=delivery)
    last = attempts.order_by("-started_at").values_list("route", flat=True).first()
    return last or (settings.of(challenge.purpose) if challenge else settings).ROUTES[0]
