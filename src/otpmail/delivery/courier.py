"""One round, the same under every engine: with one delivery, or with several that are due.

1. Read them, if this holder still holds their leases; lengthen a lease that runs short.
2. Look: if what one carries (``payload``) is dead, changed, or has too little life left, drop it.
3. Have each made a mail.
4. Hand it to the routes, which ask once more when a connection stands. Those that take the same
   way go together, as many as the routes say; the others are left as they are, due at once.
5. Record what each route did, and the end of it (``disposition``): settled, or due again.

What cannot be done here and now is declined: all its routes are shut to this process, or a key, a
template or a setting is missing in it. That is no attempt; the row is free for another process.

What was taken and cannot be written down is remembered (``unrecorded``), and not sent again.

In: deliveries' ids and the holder of their leases. Out: a `RoundResult`.
Knows nothing of: threads, timers, brokers.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, IntegrityError, close_old_connections
from django.dispatch import Signal
from django.template import TemplateDoesNotExist, TemplateSyntaxError

from otpmail import routes, signals
from otpmail.conf import settings
from otpmail.db import database
from otpmail.db.database import Clock
from otpmail.delivery import (
    awaiting_session,
    dispositions,
    leases,
    outbox,
    payload,
    pending_writes,
    settling,
)
from otpmail.delivery.rendering import RenderedMessage
from otpmail.delivery.settling import Disposition
from otpmail.exceptions import NotHereError, foreign
from otpmail.exceptions.foreign import OncePerMinute, ends_process
from otpmail.models import Attempt, Delivery, DeliveryState, Reason
from otpmail.outcomes import REPLY_LENGTH, Blame, Kind, Outcome
from otpmail.outcomes.describing import log_fault
from otpmail.routes import RouteAttempt
from otpmail.runtime import logmails

PATIENCE_SECONDS = 1
"""How long a statement is tried again: long enough for a connection that the database dropped."""

NOT_HERE = (
    NotHereError,
    TemplateDoesNotExist,
    TemplateSyntaxError,
    ImproperlyConfigured,
    ImportError,
)
"""What an old process of a rolling deploy meets, or one whose key service is away."""

_SIGNALS = {
    DeliveryState.ACCEPTED: signals.delivery_accepted,
    DeliveryState.QUEUED: signals.delivery_delayed,
    DeliveryState.FAILED: signals.delivery_failed,
}

log = logging.getLogger("otpmail.delivery.courier")
_once_per_minute = OncePerMinute()


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What a round came to."""

    waits: dict[UUID, float | None]
    """Seconds until each one's next round: None if there is none here, 0 if it is due."""
    declined: set[UUID]
    """Those of them that are free for another process, and are to be left to it for a while."""


def run(delivery_ids: Collection[UUID], holder: str) -> RoundResult:
    """Do one round: with the most urgent of these, and with those that can go with it.

    Never raises: what fails is logged, and is due again after a while.
    """
    return _Round(holder, delivery_ids).run()


class _BatchKey(NamedTuple):
    """What mails must have in common to go together."""

    routes: tuple[str, ...]
    may_double: bool
    alone: UUID | None
    """One that has less life left than a try may take: it would bound the others' time; or one
    whose recipient's domain is slow: they would wait with it."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A delivery and its mail."""

    delivery: Delivery
    rendered: RenderedMessage


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    """What a round came to for one delivery."""

    delivery: Delivery
    attempts: dict[RouteAttempt, Attempt]
    disposition: Disposition

    @property
    def is_accepted(self) -> bool:
        return self.disposition.state is DeliveryState.ACCEPTED

    def settle(self, holder: str, now: datetime) -> bool:
        attempts = [*self.attempts.values()]
        return settling.settle(self.delivery, holder, attempts, self.disposition, now=now)


class _Round:
    """One round of one holder."""

    _clock: Clock

    def __init__(self, holder: str, delivery_ids: Collection[UUID]) -> None:
        self._holder = holder
        self._waits: dict[UUID, float | None] = dict.fromkeys(delivery_ids)
        self._declined: set[UUID] = set()
        self._to_free: list[Delivery] = []
        self._log_mails: set[UUID] = set()
        self._kept: set[UUID] = set()
        """Those for which a session stood before they were given to others."""
        self._batch_key: _BatchKey | None = None
        self._batch: list[_Ready] = []
        self._fault: BaseException | None = None
        self._domains: dict[str, bool] = {}
        """Those of which it holds a courier, and whether one of its mails was answered quickly."""

    def run(self) -> RoundResult:
        try:
            self._run()
        finally:
            for domain, is_quick in self._domains.items():
                routes.domains.give_back(domain, is_quick=is_quick)
        return RoundResult(self._waits, self._declined)

    def _run(self) -> None:
        due = self._waits.keys() - pending_writes.known()
        with self._guarded(due):
            # What is not found was settled meanwhile, or is another's.
            if due and (held := self._read(due)):
                self._clock = database.clock()
                self._carry(held)
        with self._guarded([delivery.pk for delivery in self._to_free]):
            if self._to_free:
                _retry_on_database_error(
                    lambda: leases.decline(self._to_free, self._holder, now=self._clock())
                )

    def _read(self, due: Collection[UUID]) -> Sequence[Delivery]:
        held = _retry_on_database_error(lambda: leases.read(due, self._holder))
        self._log_mails = {delivery.pk for delivery in held if delivery.is_log_mail}
        return sorted(held, key=lambda delivery: delivery.deadline)

    def _carry(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            with self._guarded([delivery.pk]):
                if self._is_full() or not self._add_to_batch(delivery):
                    self._waits[delivery.pk] = 0
        if self._batch_key is not None:
            with self._guarded([ready.delivery.pk for ready in self._batch]):
                self._send(self._batch_key, self._batch)

    def _is_full(self) -> bool:
        key = self._batch_key
        return key is not None and (
            key.alone is not None or len(self._batch) >= routes.batch_size(key.routes)
        )

    def _add_to_batch(self, delivery: Delivery) -> bool:
        """Take a delivery along, or see to it. Returns False if it has to go by itself."""
        rendered = self._prepare(delivery)
        if rendered is None:
            return True
        key = self._key_of(delivery, rendered)
        if self._batch_key not in {None, key}:
            return False
        domain = routes.domain_of(rendered.mail)
        if not self._has_share(domain):
            self._turn_away(delivery, domain)
            return True
        self._batch_key = key
        self._batch.append(_Ready(delivery, rendered))
        return True

    def _has_share(self, domain: str) -> bool:
        """Take a courier of those that mail to this domain may hold, once a round."""
        if domain not in self._domains and routes.domains.take(domain):
            self._domains[domain] = False
        return domain in self._domains

    def _turn_away(self, delivery: Delivery, domain: str) -> None:
        """Leave it to others while its domain is slow here; else to a courier of ours, soon."""
        if routes.domains.is_slow(domain):
            self._decline(delivery)
        else:
            age = self._clock() - delivery.created_at
            self._waits[delivery.pk] = routes.share_wait_seconds(age.total_seconds())

    def _prepare(self, delivery: Delivery) -> RenderedMessage | None:
        """Have a delivery made a mail, if it can leave now; else see to it."""
        if not leases.extend_if_short(delivery, self._holder, now=self._clock()):
            return None
        reason = _drop_reason(delivery, self._clock())
        if reason is None and routes.wait_seconds(payload.of(delivery).routes) > 0:
            self._decline(delivery)
            return None
        rendered = reason or _render(delivery, self._clock())
        if rendered is None or isinstance(rendered, Outcome):
            outbox.note_render_failed(delivery, self._holder)
        match rendered:
            case None:
                self._decline(delivery)
            case Reason():
                self._drop(delivery, rendered)
            case Outcome():
                route, now = payload.of(delivery).routes[0], time.monotonic()
                failed = RouteAttempt(route=route, began=now, took_seconds=0.0, outcome=rendered)
                self._record([self._end(delivery, [failed])])
            case RenderedMessage():
                return rendered
        return None

    def _decline(self, delivery: Delivery) -> None:
        self._declined.add(delivery.pk)
        self._to_free.append(delivery)

    def _key_of(self, delivery: Delivery, rendered: RenderedMessage) -> _BatchKey:
        carried = payload.of(delivery)
        avoid: Sequence[str] = ()
        if len(carried.routes) > 1 and (delivery.rounds or not carried.is_first):
            # What was asked for again, or may have been lost, goes another way than before.
            avoid = outbox.routes_used(delivery)
        is_short = self._life_left(delivery) < settings.LEASE_SECONDS / 2
        is_alone = is_short or routes.domains.is_slow(routes.domain_of(rendered.mail))
        return _BatchKey(
            routes=tuple(routes.ordered(carried.routes, rendered.mail, avoid=avoid)),
            may_double=carried.may_double,
            alone=delivery.pk if is_alone else None,
        )

    def _send(self, key: _BatchKey, batch: Sequence[_Ready]) -> None:
        ids = [ready.delivery.pk for ready in batch]
        awaiting_session.begin(ids)
        try:
            sent = self._send_by_routes(key, batch)
        finally:
            awaiting_session.end(ids)
        ends, others = [], []
        for ready, result in zip(batch, sent, strict=True):
            if any(_was_quick(route_attempt) for route_attempt in result.route_attempts):
                self._domains[routes.domain_of(ready.rendered.mail)] = True
            if result.still_valid and result.route_attempts:
                ends.append(self._end(ready.delivery, result.route_attempts))
            else:
                others.append((ready.delivery, result.route_attempts, result.still_valid))
        self._record(ends)  # before all else: these may have been taken
        for delivery, route_attempts, still_valid in others:
            with self._guarded([delivery.pk]):
                self._leave(delivery, route_attempts, still_valid=still_valid)

    def _send_by_routes(
        self, key: _BatchKey, batch: Sequence[_Ready]
    ) -> Sequence[routes.SendResult]:
        with logmails.about(any(ready.delivery.is_log_mail for ready in batch)):
            return routes.send(
                [ready.rendered.mail for ready in batch],
                routes=key.routes,
                seconds=min(self._life_left(ready.delivery) for ready in batch),
                may_double=key.may_double,
                still_valid=lambda: self._still_valid([ready.delivery for ready in batch]),
                on_late_result=lambda place, route_attempt: _record_late_result(
                    self._holder, batch[place].delivery, route_attempt
                ),
            )

    def _leave(
        self, delivery: Delivery, route_attempts: Sequence[RouteAttempt], *, still_valid: bool
    ) -> None:
        """See to one that was not handed over to the end."""
        if not still_valid:
            self._drop_invalid(delivery, route_attempts)
        elif self._fault is not None:
            raise self._fault
        elif routes.wait_seconds(payload.of(delivery).routes) > 0:
            self._decline(delivery)
        else:  # it had no turn in time, or another mail was faster to ask
            self._waits[delivery.pk] = 0

    def _still_valid(self, deliveries: Sequence[Delivery]) -> set[int] | None:
        """Look once more. A fault says nothing of a mail, and must not lose those that left."""
        self._kept |= {delivery.pk for delivery in deliveries if awaiting_session.keep(delivery.pk)}
        try:
            # One that is not found was taken, as a report told, or is another's by now.
            taken = pending_writes.known()  # of an earlier round, whose end came late
            kept = [one for one in deliveries if one.pk in self._kept and one.pk not in taken]
            held = leases.read_again(kept, self._holder)
            now = self._clock()
            still_valid = {delivery for delivery in held if _drop_reason(delivery, now) is None}
        except BaseException as fault:
            if ends_process(fault):
                raise
            self._fault = fault
            return None
        return {place for place, delivery in enumerate(deliveries) if delivery in still_valid}

    def _drop_invalid(self, delivery: Delivery, route_attempts: Sequence[RouteAttempt]) -> None:
        if route_attempts:
            _retry_on_database_error(lambda: _note(delivery, route_attempts))
        if delivery.pk in self._kept:  # else it was given to others, and lives
            reason = _drop_reason(delivery, self._clock())
            self._drop(delivery, reason or Reason.EXPIRED)

    def _life_left(self, delivery: Delivery) -> float:
        return (delivery.deadline - self._clock()).total_seconds()

    def _drop(self, delivery: Delivery, reason: Reason) -> None:
        now = self._clock()
        if _retry_on_database_error(lambda: settling.drop(delivery, self._holder, reason, now=now)):
            foreign.send_signal(
                signals.delivery_dropped,
                sender=Delivery,
                delivery=delivery,
                challenge=delivery.challenge,
            )

    def _end(self, delivery: Delivery, route_attempts: Sequence[RouteAttempt]) -> _End:
        now = self._clock()
        disposition = dispositions.decide(delivery, route_attempts, now)
        if disposition.state is DeliveryState.QUEUED:
            route_attempts = [
                route_attempt
                for route_attempt in route_attempts
                if not (route_attempt.is_probe and _is_known(delivery, route_attempt))
            ]
        return _End(
            delivery,
            {route_attempt: _as_attempt(route_attempt, now) for route_attempt in route_attempts},
            disposition,
        )

    def _record(self, ends: Sequence[_End]) -> None:
        """Settle those that were accepted together, if none was lost; the others one by one."""
        accepted = [end for end in ends if end.is_accepted]
        together = accepted if len(accepted) > 1 and self._settle_together(accepted) else []
        for end in ends:
            with self._guarded([end.delivery.pk]):
                if end in together:
                    _tell_end(end)
                else:
                    self._settle(end)

    def _settle_together(self, ends: Collection[_End]) -> bool:
        rounds, now = {end.delivery: [*end.attempts.values()] for end in ends}, self._clock()
        try:
            return _retry_on_database_error(
                lambda: settling.settle_accepted(rounds, self._holder, now=now)
            )
        except Error:  # one of them may be the cause: each has another chance by itself
            return False

    def _settle(self, end: _End) -> None:
        now = self._clock()
        try:
            kept = _retry_on_database_error(lambda: end.settle(self._holder, now))
        except Error as error:
            if not end.is_accepted or isinstance(error, IntegrityError):
                raise
            self._remember(end, now)
            return
        if kept or end.is_accepted:  # else it is another's: what becomes of it is told there
            _tell_end(end)
        if kept and end.disposition.keeps_lease:
            self._waits[end.delivery.pk] = end.disposition.wait_seconds
        elif kept and end.disposition.frees_lease:
            self._declined.add(end.delivery.pk)

    def _remember(self, end: _End, now: datetime) -> None:
        def record() -> None:
            end.settle(self._holder, now)
            _tell_end(end)

        pending_writes.remember(end.delivery.pk, self._holder, record)

    @contextlib.contextmanager
    def _guarded(self, delivery_ids: Iterable[UUID]) -> Iterator[None]:
        """Keep a fault from others: these are tried again after a while, here or elsewhere."""
        try:
            yield
        except BaseException as error:  # the rows are safe
            if ends_process(error):
                raise
            for delivery_id in delivery_ids:
                # In an outage each row has it each second: somebody is called once a minute.
                is_news = _once_per_minute.may_log(f"round {type(error).__name__}")
                _log_fault(
                    f"Email round failed delivery={delivery_id}",
                    error,
                    level=logging.ERROR if is_news else logging.WARNING,
                    is_log_mail=delivery_id in self._log_mails,
                )
                self._waits[delivery_id] = min(settings.SWEEP_SECONDS, settings.LEASE_SECONDS / 2)


def _drop_reason(delivery: Delivery, now: datetime) -> Reason | None:
    reason = payload.of(delivery).drop_reason()
    return Reason.EXPIRED if reason is None and now >= delivery.deadline else reason


def _render(delivery: Delivery, now: datetime) -> RenderedMessage | Reason | Outcome | None:
    """Render the mail, or say why it could not be rendered: None if it cannot be done here.

    Whatever a template raises breaks no courier, and is a failed attempt of its mail.
    """
    carried = payload.of(delivery)
    try:
        rendered = carried.rendered()
    except Error:
        raise
    except NOT_HERE as error:
        if _once_per_minute.may_log(f"{type(error).__name__} {delivery.queue}"):
            what = "Email cannot be rendered here, and is left to others"
            _log_fault(
                f"{what} delivery={delivery.pk} {delivery.log_fields}",
                error,
                is_log_mail=delivery.is_log_mail,
            )
        return None
    except BaseException as error:
        if ends_process(error):
            raise
        _log_fault(
            f"Email cannot be rendered delivery={delivery.pk} {delivery.log_fields}",
            error,
            is_log_mail=delivery.is_log_mail,
        )
        name = type(error).__name__
        return Outcome(kind=Kind.TRANSIENT, reply=f"not rendered: {name}", blame=Blame.MAIL)
    if isinstance(rendered, Reason):
        carried.give_up(rendered, now)
    return rendered


def _log_fault(
    line: str, error: BaseException, *, is_log_mail: bool, level: int = logging.ERROR
) -> None:
    level = logmails.level(level, is_log_mail=is_log_mail)
    log_fault(log, line, error, level=level, extra=logmails.extra(is_log_mail=is_log_mail))


def _was_quick(route_attempt: RouteAttempt) -> bool:
    is_answer = (
        route_attempt.outcome.kind is Kind.ACCEPTED or route_attempt.outcome.code is not None
    )
    return is_answer and routes.is_quick(route_attempt.took_seconds)


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
        for past in _retry_on_database_error(lambda: outbox.attempts_by(delivery, probe.route))
    )


def _tell_end(end: _End) -> None:
    if not end.attempts:  # a probe that found nothing new
        return
    last = dispositions.deciding_attempt([*end.attempts])
    for route_attempt, attempt in end.attempts.items():
        if route_attempt is not last and route_attempt.outcome.kind is not Kind.ACCEPTED:
            _tell(signals.attempt_failed, end.delivery, attempt)
    disposition = end.disposition
    told = end.attempts[last]
    _tell(_SIGNALS[disposition.state], end.delivery, told, wait_seconds=disposition.wait_seconds)


def _as_attempt(route_attempt: RouteAttempt, now: datetime) -> Attempt:
    return Attempt(
        route=route_attempt.route,
        started_at=now - timedelta(seconds=time.monotonic() - route_attempt.began),
        took_ms=round(route_attempt.took_seconds * 1000),
        outcome=route_attempt.outcome.kind.value,
        code=route_attempt.outcome.code,
        reply=route_attempt.outcome.reply[:REPLY_LENGTH],
    )


def _tell(signal: Signal, delivery: Delivery, attempt: Attempt, **more: object) -> None:
    foreign.send_signal(
        signal,
        sender=Delivery,
        delivery=delivery,
        challenge=delivery.challenge,
        attempt=attempt,
        **more,
    )


def _record_late_result(holder: str, delivery: Delivery, route_attempt: RouteAttempt) -> None:
    """Record an attempt that lost the hedge, or that nobody waited for, in its own thread."""
    try:
        _retry_on_database_error(lambda: _note(delivery, [route_attempt]))
    except Error as error:
        if route_attempt.outcome.kind is Kind.ACCEPTED and not isinstance(error, IntegrityError):
            pending_writes.remember(delivery.pk, holder, lambda: _note(delivery, [route_attempt]))
            return
        _log_fault(
            f"Email attempt cannot be recorded delivery={delivery.pk}",
            error,
            is_log_mail=delivery.is_log_mail,
        )


def _note(delivery: Delivery, route_attempts: Sequence[RouteAttempt]) -> None:
    now = database.now()
    attempts = [_as_attempt(route_attempt, now) for route_attempt in route_attempts]
    if settling.note(delivery, attempts, now=now):
        accepted = (attempt for attempt in attempts if attempt.outcome == DeliveryState.ACCEPTED)
        _tell(signals.delivery_accepted, delivery, next(accepted))


def _retry_on_database_error[T](act: Callable[[], T]) -> T:
    """Try again while the database is away, for a moment."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except Error as error:
            close_old_connections()
            if isinstance(error, IntegrityError) or time.monotonic() >= until:
                raise
            time.sleep(0.1)
