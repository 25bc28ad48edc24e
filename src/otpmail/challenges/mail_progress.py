"""The truth for whoever waits for a mail: one word, what to do, and when to ask again.

In: a challenge, its newest deliveries, the time. Out: a `Progress`.
Knows nothing of: who asks.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from otpmail import routes
from otpmail.conf import settings
from otpmail.db import database
from otpmail.delivery import leases
from otpmail.models import Challenge, ChallengeState, Delivery, DeliveryEvent, DeliveryState, Reason
from otpmail.results import MailStatus, NextStep, Progress

SLOW_SECONDS = 30
"""Mail is slow when one that was due so long ago still waits: far less than a code is of use."""

POLLS = ((10, 1_000), (30, 2_000), (120, 5_000))
"""Up to this age in seconds, ask again after so many milliseconds. In steps, so that an answer in
which nothing else has changed is the same answer."""

LAST_POLL = 15_000

EVENT_STATUSES = {
    DeliveryEvent.DEFERRED: MailStatus.DELAYED,
    DeliveryEvent.DELIVERED: MailStatus.DELIVERED,
    DeliveryEvent.COMPLAINED: MailStatus.DELIVERED,
    DeliveryEvent.REJECTED: MailStatus.BOUNCED,
    DeliveryEvent.BOUNCED: MailStatus.BOUNCED,
}

STEPS = {
    MailStatus.QUEUED: NextStep.WAIT,
    MailStatus.DELAYED: NextStep.WAIT,
    MailStatus.ACCEPTED: NextStep.TYPE_CODE,
    MailStatus.DELIVERED: NextStep.TYPE_CODE,
    MailStatus.BOUNCED: NextStep.CHECK_ADDRESS,
    MailStatus.FAILED: NextStep.ASK_AGAIN,
    MailStatus.DROPPED: NextStep.ASK_AGAIN,
}

OF_THE_ADDRESS = frozenset({Reason.REFUSED, Reason.SUPPRESSED})
"""With these a mail failed, and so would the next one."""

UNDER_WAY = frozenset({MailStatus.QUEUED, MailStatus.DELAYED})

STILL_MOVING = UNDER_WAY | {MailStatus.ACCEPTED}


def of(challenge: Challenge, delivery: Delivery, *, now: datetime) -> Progress:
    """Tell how far a delivery has come."""
    status = _status(delivery)
    step = _step(challenge, delivery, status, now)
    waits = step is not NextStep.NOTHING and status in STILL_MOVING
    return Progress(
        status=status,
        next_step=step,
        reason=delivery.reason,
        rounds=delivery.rounds,
        took_ms=_took_ms(delivery),
        poll_after_ms=_poll_after_ms(now - delivery.created_at) if waits else None,
        slow=waits and status in UNDER_WAY and is_slow(challenge.purpose),
    )


def newest(deliveries: Sequence[Delivery]) -> Delivery:
    """Choose the one to tell of, out of one generation's, the newest first.

    It is the one that was asked for last; but of one that was sent again by another route, the
    first mail may have come after all.
    """
    arrived = (mail for mail in deliveries if _status(mail) is MailStatus.DELIVERED)
    first = deliveries[0]
    return next(arrived, first) if first.avoid_route else first


def is_slow(purpose: str) -> bool:
    """Tell whether a mail that is enqueued now will be late.

    Either no route of its purpose is in order, as far as this process knows, or what is due waits:
    that is asked of the database once a second.
    """
    return routes.all_unavailable(settings.of(purpose).ROUTES) or _was_slow(int(time.monotonic()))


@lru_cache(maxsize=1)
def _was_slow(_second: int) -> bool:
    return leases.is_behind(now=database.now(), seconds=SLOW_SECONDS)


def _status(delivery: Delivery) -> MailStatus:
    if delivery.event == DeliveryEvent.DEFERRED and delivery.state != DeliveryState.ACCEPTED:
        return MailStatus(delivery.state)  # what became of it after all is its own affair
    if delivery.event:
        return EVENT_STATUSES[DeliveryEvent(delivery.event)]
    if delivery.state == DeliveryState.QUEUED and delivery.rounds:
        return MailStatus.DELAYED
    return MailStatus(delivery.state)


def _step(challenge: Challenge, delivery: Delivery, status: MailStatus, now: datetime) -> NextStep:
    if challenge.state != ChallengeState.PENDING or now >= challenge.closes_at:
        return NextStep.NOTHING
    if delivery.reason in OF_THE_ADDRESS:
        return NextStep.CHECK_ADDRESS
    if now >= challenge.expires_at or (delivery.render_failed and status in UNDER_WAY):
        return NextStep.ASK_AGAIN
    return STEPS[status]


def _took_ms(delivery: Delivery) -> int | None:
    last = delivery.event_at or delivery.settled_at
    if last is None:
        return None
    return max(0, round((last - delivery.created_at) / timedelta(milliseconds=1)))


def _poll_after_ms(age: timedelta) -> int:
    seconds = age.total_seconds()
    return next((wait for until, wait in POLLS if seconds < until), LAST_POLL)
