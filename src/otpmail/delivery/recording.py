"""What routes did with a mail is written down, and told to receivers of signals.

1. Mails that were accepted together are settled together, if none was lost; any other by itself.
2. What was taken and cannot be written down is remembered (``pending_writes``), not sent again.
3. A try that ends after its round is recorded in its own thread.

In: deliveries and their attempts by routes. Out: the `Result` of each.
Knows nothing of: how a mail is made and sent.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import Error, IntegrityError
from django.dispatch import Signal

from otpmail import signals
from otpmail.db import database
from otpmail.db.database import Clock
from otpmail.delivery import dispositions, outbox, pending_writes, settling
from otpmail.delivery.round_results import (
    DONE,
    Result,
    Results,
    guarded,
    log_fault,
    retry_on_database_error,
)
from otpmail.delivery.settling import Disposition
from otpmail.exceptions import foreign
from otpmail.models import Attempt, Delivery, DeliveryState, Reason
from otpmail.outcomes import REPLY_LENGTH, Kind
from otpmail.routes import RouteAttempt

_SIGNALS = {
    DeliveryState.ACCEPTED: signals.delivery_accepted,
    DeliveryState.QUEUED: signals.delivery_delayed,
    DeliveryState.FAILED: signals.delivery_failed,
}


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """What the attempts of a round mean for one delivery."""

    delivery: Delivery
    attempts: dict[RouteAttempt, Attempt]
    disposition: Disposition

    @property
    def is_accepted(self) -> bool:
        """Whether a server took the mail."""
        return self.disposition.state is DeliveryState.ACCEPTED

    def settle(self, holder: str, now: datetime) -> bool:
        """Write it down. Returns False if the lease was lost."""
        attempts = [*self.attempts.values()]
        return settling.settle(self.delivery, holder, attempts, self.disposition, now=now)

    @property
    def result(self) -> Result:
        """What the round came to."""
        if self.disposition.keeps_lease:
            return Result(wait_seconds=self.disposition.wait_seconds)
        return Result(is_declined=self.disposition.frees_lease)


def end_of(delivery: Delivery, route_attempts: Sequence[RouteAttempt], now: datetime) -> End:
    """Decide what becomes of a delivery after these attempts. Probes without news are left out."""
    disposition = dispositions.decide(delivery, route_attempts, now)
    if disposition.state is DeliveryState.QUEUED:
        route_attempts = [
            route_attempt
            for route_attempt in route_attempts
            if not (route_attempt.is_probe and _is_known(delivery, route_attempt))
        ]
    attempts = {route_attempt: _as_attempt(route_attempt, now) for route_attempt in route_attempts}
    return End(delivery, attempts, disposition)


def record(ends: Sequence[End], holder: str, clock: Clock) -> Results:
    """Write down the ends of a round. A fault of one is its own."""
    settled = _settle_together([end for end in ends if end.is_accepted], holder, clock)
    results: Results = {}
    for end in ends:
        step = partial(_record, end, holder, clock, is_settled=end in settled)
        log_mails = [end.delivery.pk] if end.delivery.is_log_mail else []
        results |= guarded(step, [end.delivery.pk], log_mails=log_mails)
    return results


def drop(delivery: Delivery, holder: str, reason: Reason, *, now: datetime) -> Result:
    """End a delivery that is of no use any more."""
    if retry_on_database_error(lambda: settling.drop(delivery, holder, reason, now=now)):
        foreign.send_signal(
            signals.delivery_dropped,
            sender=Delivery,
            delivery=delivery,
            challenge=delivery.challenge,
        )
    return DONE


def note(delivery: Delivery, route_attempts: Sequence[RouteAttempt]) -> None:
    """Record attempts of a mail, whoever holds its lease; one that was accepted settles it."""
    retry_on_database_error(lambda: _note(delivery, route_attempts))


def note_late(holder: str, delivery: Delivery, route_attempt: RouteAttempt) -> None:
    """Record an attempt that lost the hedge, or that nobody waited for, in its own thread."""
    try:
        note(delivery, [route_attempt])
    except Error as error:
        if route_attempt.outcome.kind is Kind.ACCEPTED and not isinstance(error, IntegrityError):
            pending_writes.remember(delivery.pk, holder, lambda: _note(delivery, [route_attempt]))
            return
        what = f"Email attempt cannot be recorded delivery={delivery.pk}"
        log_fault(what, error, is_log_mail=delivery.is_log_mail)


def _settle_together(ends: Collection[End], holder: str, clock: Clock) -> Collection[End]:
    """Settle what was accepted. Returns what is settled: all of them, or none."""
    if len(ends) < 2:  # noqa: PLR2004 - one is settled by itself
        return ()
    rounds, now = {end.delivery: [*end.attempts.values()] for end in ends}, clock()
    try:
        kept = retry_on_database_error(lambda: settling.settle_accepted(rounds, holder, now=now))
    except Error:  # one of them may be the cause: each has another chance by itself
        return ()
    return ends if kept else ()


def _record(end: End, holder: str, clock: Clock, *, is_settled: bool) -> Results:
    if is_settled:
        _tell_end(end)
        return {end.delivery.pk: DONE}
    return {end.delivery.pk: _settle(end, holder, clock())}


def _settle(end: End, holder: str, now: datetime) -> Result:
    try:
        kept = retry_on_database_error(lambda: end.settle(holder, now))
    except Error as error:
        if not end.is_accepted or isinstance(error, IntegrityError):
            raise
        _remember(end, holder, now)
        return DONE
    if kept or end.is_accepted:  # else it is another's: what becomes of it is told there
        _tell_end(end)
    return end.result if kept else DONE


def _remember(end: End, holder: str, now: datetime) -> None:
    def record() -> None:
        end.settle(holder, now)
        _tell_end(end)

    pending_writes.remember(end.delivery.pk, holder, record)


def _note(delivery: Delivery, route_attempts: Sequence[RouteAttempt]) -> None:
    now = database.now()
    attempts = [_as_attempt(route_attempt, now) for route_attempt in route_attempts]
    if settling.note(delivery, attempts, now=now):
        accepted = (attempt for attempt in attempts if attempt.outcome == DeliveryState.ACCEPTED)
        _tell(signals.delivery_accepted, delivery, next(accepted))


def _is_known(delivery: Delivery, probe: RouteAttempt) -> bool:
    """Tell whether a probe found what an attempt of its mail by that route had found.

    Any attempt: the replies of an outage alternate. What may have been taken is always news.
    """
    if probe.outcome.kind is Kind.UNKNOWN:
        return False
    found = _as_attempt(probe, delivery.due_at)
    return any(
        (past.outcome, past.code) == (found.outcome, found.code)
        and (found.code is not None or past.reply == found.reply)
        for past in retry_on_database_error(lambda: outbox.attempts_by(delivery, probe.route))
    )


def _as_attempt(route_attempt: RouteAttempt, now: datetime) -> Attempt:
    return Attempt(
        route=route_attempt.route,
        started_at=now - timedelta(seconds=time.monotonic() - route_attempt.began),
        took_ms=round(route_attempt.took_seconds * 1000),
        outcome=route_attempt.outcome.kind.value,
        code=route_attempt.outcome.code,
        reply=route_attempt.outcome.reply[:REPLY_LENGTH],
    )


def _tell_end(end: End) -> None:
    if not end.attempts:  # a probe that found nothing new
        return
    last = dispositions.deciding_attempt([*end.attempts])
    for route_attempt, attempt in end.attempts.items():
        if route_attempt is not last and route_attempt.outcome.kind is not Kind.ACCEPTED:
            _tell(signals.attempt_failed, end.delivery, attempt)
    disposition = end.disposition
    told = end.attempts[last]
    _tell(_SIGNALS[disposition.state], end.delivery, told, wait_seconds=disposition.wait_seconds)


def _tell(signal: Signal, delivery: Delivery, attempt: Attempt, **more: object) -> None:
    foreign.send_signal(
        signal,
        sender=Delivery,
        delivery=delivery,
        challenge=delivery.challenge,
        attempt=attempt,
        **more,
    )
