"""One round with one delivery, the same under every engine.

1. Read the delivery, if this owner still holds its lease; lengthen one that runs short.
2. Look: if what it carries (``cargo``) is dead, changed, or has too little life left, drop it.
3. Have it made a mail.
4. Hand it to the routes, which ask once more when a connection stands.
5. Record what each route did, and the end of it: settled, or due again.

Where no route is open the delivery waits as it is: that is no attempt, and nothing is written.

In: a delivery's id and the owner of its lease. Out: seconds until the next round, or None.
Knows nothing of: threads, timers, brokers.
"""

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, IntegrityError, close_old_connections
from django.dispatch import Signal

from otpmail import cargo, database, messages, outbox, parking, retries, routes, signals
from otpmail.conf import settings
from otpmail.database import Clock
from otpmail.models import Attempt, Delivery, DeliveryState, Reason
from otpmail.outcomes import REPLY_LENGTH, Blame, Kind, Outcome, describe
from otpmail.routes import Round, Try

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
    if (wait_seconds := parking.wait_seconds(delivery_id)) is not None:
        return wait_seconds
    delivery = _insist(lambda: outbox.held(delivery_id, owner), seconds=READ_SECONDS)
    if delivery is None:  # settled meanwhile, or another's
        return None
    clock = database.clock()
    if not outbox.keep(delivery, owner, now=clock()):
        return None
    try:
        _look(delivery, clock())
        if routes.wait_seconds(_routes(delivery)) > 0:
            return _park(delivery, clock())
        tries = _attempt(delivery, clock)
    except _PointlessError as pointless:
        _drop(delivery, owner, pointless.reason, now=clock())
        return None
    return _record(delivery, owner, tries, now=clock()) if tries else _park(delivery, clock())


def _routes(delivery: Delivery) -> Sequence[str]:
    return cargo.of(delivery).routes


def _park(delivery: Delivery, now: datetime) -> float:
    """Let it wait for a route, but not beyond its deadline, nor past half its lease."""
    seconds = min((delivery.deadline - now).total_seconds(), settings.LEASE_SECONDS / 2)
    return parking.park(delivery.pk, _routes(delivery), seconds=seconds)


def _attempt(delivery: Delivery, clock: Clock) -> Sequence[Try]:
    """Hand the mail to the routes. Returns what each did; nothing if none was open."""
    letter = _letter(delivery, clock())
    if isinstance(letter, Outcome):
        route = _routes(delivery)[0]
        return [Try(route=route, began=time.monotonic(), took_seconds=0.0, outcome=letter)]
    sent = _hand_over(delivery, letter, clock)
    if not sent.wanted:
        _note(delivery, sent.tries)
        _look(delivery, clock())
        raise _PointlessError(Reason.EXPIRED)
    return sent.tries


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


def _hand_over(delivery: Delivery, letter: messages.Letter, clock: Clock) -> Round:
    def redacted(try_: Try) -> Try:
        return replace(try_, outcome=letter.redacted(try_.outcome))

    sent = routes.send(
        letter.mail,
        routes=_routes(delivery),
        avoid=_avoided(delivery),
        may_double=cargo.of(delivery).may_double,
        seconds=(delivery.deadline - clock()).total_seconds(),
        still_wanted=lambda: _is_wanted(delivery, clock),
        late=lambda try_: _hear_late(delivery, redacted(try_)),
    )
    return replace(sent, tries=tuple(map(redacted, sent.tries)))


def _avoided(delivery: Delivery) -> Sequence[str]:
    """Send a mail that was asked for again, or may have been lost, another way than before."""
    is_first = cargo.of(delivery).is_first and not delivery.attempted
    if is_first or len(_routes(delivery)) == 1:
        return ()
    return outbox.routes_used(delivery)


def _is_wanted(delivery: Delivery, clock: Clock) -> bool:
    if not outbox.read_again(delivery):
        return False  # a report told that it was taken, or it is another's by now
    try:
        _look(delivery, clock())
    except _PointlessError:
        return False
    return True


def _drop(delivery: Delivery, owner: str, reason: Reason, *, now: datetime) -> None:
    if not _insist(lambda: outbox.drop(delivery, owner, reason, now=now)):
        return
    signals.delivery_dropped.send_robust(
        sender=Delivery, delivery=delivery, challenge=delivery.challenge
    )


def _record(delivery: Delivery, owner: str, tries: Sequence[Try], *, now: datetime) -> float | None:
    last = _telling(tries)
    verdict = _judge(delivery, tries, last.outcome, now)
    attempts = {try_: _as_attempt(try_, now) for try_ in tries}
    kept = _insist(lambda: outbox.settle(delivery, owner, [*attempts.values()], verdict, now=now))
    if not kept and verdict.state is not DeliveryState.ACCEPTED:
        return None  # another's by now: what becomes of it is told there
    for try_, attempt in attempts.items():
        if try_ is not last:
            _tell(signals.attempt_failed, delivery, attempt)
    _tell(_SIGNALS[verdict.state], delivery, attempts[last], wait_seconds=verdict.wait_seconds)
    return verdict.wait_seconds if kept and verdict.is_held else None


def _telling(tries: Sequence[Try]) -> Try:
    """Choose the try that tells the round's end: an acceptance, a refusal for good, or the last."""
    weights = {Kind.ACCEPTED: 2, Kind.PERMANENT: 1}

    def weight(try_: Try) -> int:
        of_the_mail = try_.outcome.blame is Blame.MAIL
        return weights.get(try_.outcome.kind, 0) if of_the_mail else 0

    return max(reversed(tries), key=weight)


def _judge(
    delivery: Delivery, tries: Sequence[Try], outcome: Outcome, now: datetime
) -> outbox.Verdict:
    if outcome.kind is Kind.ACCEPTED:
        return outbox.Verdict(DeliveryState.ACCEPTED)
    if _is_refused(delivery, tries):
        return outbox.Verdict(DeliveryState.FAILED, reason=Reason.REFUSED)
    life_left = max(0.0, (delivery.deadline - now).total_seconds())
    if routes.are_shut(_routes(delivery)):
        # Those that go to see whether one is back use up no more than their first attempt.
        return outbox.Verdict(
            DeliveryState.QUEUED,
            wait_seconds=min(routes.wait_seconds(_routes(delivery)), life_left),
            counts=delivery.attempted == 0 or outcome.kind is Kind.UNKNOWN,
        )
    backoff = retries.wait_seconds(
        cargo.of(delivery).retry_seconds,
        failed=delivery.attempted + 1,
        life_left=life_left,
        at_least=outcome.retry_after_seconds or 0,
    )
    if backoff is None:
        return outbox.Verdict(DeliveryState.FAILED, reason=Reason.GAVE_UP)
    return outbox.Verdict(DeliveryState.QUEUED, wait_seconds=backoff)


def _is_refused(delivery: Delivery, tries: Sequence[Try]) -> bool:
    """Tell whether the mail itself was refused for good, or fits none of its routes."""
    refused = [try_ for try_ in tries if try_.outcome.kind is Kind.PERMANENT]
    unfit = {try_.route for try_ in refused if try_.outcome.blame is Blame.FIT}
    return unfit.issuperset(_routes(delivery)) or any(
        try_.outcome.blame is Blame.MAIL for try_ in refused
    )


def _as_attempt(try_: Try, now: datetime) -> Attempt:
    return Attempt(
        route=try_.route,
        started_at=now - timedelta(seconds=time.monotonic() - try_.began),
        took_ms=round(try_.took_seconds * 1000),
        outcome=try_.outcome.kind.value,
        code=try_.outcome.code,
        reply=try_.outcome.reply[:REPLY_LENGTH],
    )


def _tell(signal: Signal, delivery: Delivery, attempt: Attempt, **more: object) -> None:
    signal.send_robust(
        sender=Delivery, delivery=delivery, challenge=delivery.challenge, attempt=attempt, **more
    )


def _hear_late(delivery: Delivery, try_: Try) -> None:
    """Record a try that was outrun, or that nobody waited for any more, in its own thread."""
    try:
        _note(delivery, [try_])
    except DatabaseError as error:
        log.error(  # noqa: TRY400 - a database's words can quote a row
            "Email attempt cannot be recorded delivery=%s %s", delivery.pk, describe(error)
        )


def _note(delivery: Delivery, tries: Sequence[Try]) -> None:
    now = database.now()
    attempts = [_as_attempt(try_, now) for try_ in tries]
    if _insist(lambda: outbox.note(delivery, attempts, now=now)):
        _tell(signals.delivery_accepted, delivery, attempts[-1])


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
