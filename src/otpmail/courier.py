"""One round with one delivery, the same under every engine.

1. Read the delivery, if this owner still holds its lease; lengthen one that runs short.
2. Look: if what it carries (``cargo``) is dead, changed, or has too little life left, drop it.
3. Have it made a mail.
4. Hand it to the route, which asks once more when its connection stands.
5. Record the outcome: settled, or due again.

In: a delivery's id and the owner of its lease. Out: seconds until the next attempt, or None.
Knows nothing of: threads, timers, brokers.
"""

import logging
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, IntegrityError, close_old_connections

from otpmail import cargo, database, messages, outbox, retries, routes, signals
from otpmail.conf import settings
from otpmail.models import Attempt, Delivery, DeliveryState, Reason
from otpmail.outcomes import REPLY_LENGTH, Blame, Kind, Outcome

READ_SECONDS = 1
"""How long a read is tried again: long enough for a connection that the database had dropped."""

_SIGNALS = {
    DeliveryState.ACCEPTED: signals.delivery_accepted,
    DeliveryState.QUEUED: signals.delivery_delayed,
    DeliveryState.FAILED: signals.delivery_failed,
}

log = logging.getLogger("otpmail.courier")


class _PointlessError(Exception):
    """The delivery is not worth sending any more."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def run(delivery_id: UUID, owner: str) -> float | None:
    """Do one round. Raises what the database raises: then the lease lapses and the mail is safe."""
    delivery = _insist(lambda: outbox.held(delivery_id, owner), seconds=READ_SECONDS)
    if delivery is None:  # settled meanwhile, or another's
        return None
    now = database.now()
    if not outbox.keep(delivery, owner, now=now):
        return None
    try:
        attempt, outcome = _attempt(delivery, now)
    except _PointlessError as pointless:
        _drop(delivery, owner, pointless.reason)
        return None
    return _record(delivery, owner, attempt, outcome)


def _attempt(delivery: Delivery, now: datetime) -> tuple[Attempt, Outcome]:
    started, route = time.monotonic(), _route(delivery)
    _look(delivery, now)
    outcome = _hand_over(delivery, _letter(delivery, now), route, now)
    took_ms = round((time.monotonic() - started) * 1000)
    attempt = Attempt(
        route=route,
        started_at=now,
        took_ms=took_ms,
        outcome=outcome.kind.value,
        code=outcome.code,
        reply=outcome.reply[:REPLY_LENGTH],
    )
    return attempt, outcome


def _route(delivery: Delivery) -> str:
    routes = cargo.of(delivery).routes
    return [*(route for route in routes if route != delivery.avoid), *routes][0]


def _look(delivery: Delivery, now: datetime) -> None:
    reason = cargo.of(delivery).why_pointless()
    if reason is None and now >= delivery.deadline:
        reason = Reason.EXPIRED
    if reason is not None:
        raise _PointlessError(reason)


def _letter(delivery: Delivery, now: datetime) -> messages.Letter | Outcome:
    """Render the mail, or say why it could not be rendered; a broken template breaks no courier."""
    carried = cargo.of(delivery)
    try:
        letter = carried.letter()
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001
        # An error's words can quote a template's context, and the code with it: only its type.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error(  # noqa: TRY400 - exception() would print those words
            "Email cannot be rendered delivery=%s %s error=%s\n%s",
            delivery.pk,
            delivery.told,
            type(error).__name__,
            where,
        )
        return Outcome(
            kind=Kind.TRANSIENT, reply=f"not rendered: {type(error).__name__}", blame=Blame.MAIL
        )
    if isinstance(letter, Reason):
        carried.give_up(letter, now)
        raise _PointlessError(letter)
    return letter


def _hand_over(
    delivery: Delivery, letter: messages.Letter | Outcome, route: str, now: datetime
) -> Outcome:
    if isinstance(letter, Outcome):
        return letter
    outcome = routes.send(
        route,
        letter.mail,
        seconds=(delivery.deadline - now).total_seconds(),
        still_wanted=lambda: _is_wanted(delivery),
    )
    if outcome is None:
        _look(delivery, database.now())
        raise _PointlessError(Reason.EXPIRED)
    return letter.redacted(outcome)


def _is_wanted(delivery: Delivery) -> bool:
    cargo.of(delivery).read_again()
    try:
        _look(delivery, database.now())
    except _PointlessError:
        return False
    return True


def _drop(delivery: Delivery, owner: str, reason: Reason) -> None:
    now = database.now()
    if not _insist(lambda: outbox.drop(delivery, owner, reason, now=now)):
        return
    signals.delivery_dropped.send_robust(
        sender=Delivery, delivery=delivery, challenge=delivery.challenge
    )


def _record(delivery: Delivery, owner: str, attempt: Attempt, outcome: Outcome) -> float | None:
    now = database.now()
    verdict = _judge(delivery, outcome, now)
    kept = _insist(lambda: outbox.settle(delivery, owner, attempt, verdict, now=now))
    if not kept and verdict.state is not DeliveryState.ACCEPTED:
        return None  # another's by now: what becomes of it is told there
    _SIGNALS[verdict.state].send_robust(
        sender=Delivery,
        delivery=delivery,
        challenge=delivery.challenge,
        attempt=attempt,
        wait_seconds=verdict.wait_seconds,
    )
    return verdict.wait_seconds if kept and verdict.is_held else None


def _judge(delivery: Delivery, outcome: Outcome, now: datetime) -> outbox.Verdict:
    if outcome.kind is Kind.ACCEPTED:
        return outbox.Verdict(DeliveryState.ACCEPTED)
    if outcome.kind is Kind.PERMANENT and outcome.blame is Blame.MAIL:
        return outbox.Verdict(DeliveryState.FAILED, reason=Reason.REFUSED)
    wait_seconds = retries.wait_seconds(
        cargo.of(delivery).retry_seconds,
        failed=delivery.attempted + 1,
        life_left=(delivery.deadline - now).total_seconds(),
        at_least=outcome.retry_after_seconds or 0,
    )
    if wait_seconds is None:
        return outbox.Verdict(DeliveryState.FAILED, reason=Reason.GAVE_UP)
    return outbox.Verdict(DeliveryState.QUEUED, wait_seconds=wait_seconds)


def _insist[T](act: Callable[[], T], *, seconds: float | None = None) -> T:
    """Try again while the database is away, by default for half a lease.

    A mail that was taken and not recorded would be sent twice.
    """
    patience = settings.LEASE_SECONDS / 2 if seconds is None else seconds
    until = time.monotonic() + patience
    while True:
        try:
            return act()
        except DatabaseError as error:
            close_old_connections()
            if isinstance(error, IntegrityError) or time.monotonic() >= until:
                raise
            time.sleep(0.1)
