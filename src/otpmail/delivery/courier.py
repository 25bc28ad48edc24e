"""One round, the same under every engine: with one delivery, or with several that are due.

1. Read them, if this holder still holds their leases; those that this process has just put are
   given without a look (``fresh_rows``).
2. Have each made a mail (``preparing``). Those that take the same way go together, as many as the
   routes say; the others are left as they are, due at once.
3. Hand them to the routes, which ask once more when a connection stands.
4. Record what each route did, and the end of it (``recording``): settled, or due again.
5. Free what is declined for other processes.

Each step returns what it came to for each delivery (``round_results``).

In: deliveries' ids and the holder of their leases. Out: a `RoundResult`.
Knows nothing of: threads, timers, brokers.
"""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from uuid import UUID

from otpmail import routes
from otpmail.conf import settings
from otpmail.db import database
from otpmail.db.database import Clock
from otpmail.delivery import (
    awaiting_session,
    fresh_rows,
    leases,
    outbox,
    payload,
    pending_writes,
    preparing,
    recording,
)
from otpmail.delivery.preparing import Ready
from otpmail.delivery.round_results import (
    DECLINED,
    DONE,
    DUE,
    Result,
    Results,
    guarded,
    retry_on_database_error,
)
from otpmail.exceptions.foreign import ends_process
from otpmail.models import Delivery, Queue, Reason
from otpmail.outcomes import Kind
from otpmail.routes import RouteAttempt
from otpmail.runtime import logmails


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
    results = _Round(holder).run(delivery_ids)
    waits = {delivery_id: result.wait_seconds for delivery_id, result in results.items()}
    return RoundResult(waits, {one for one, result in results.items() if result.is_declined})


class _BatchKey(NamedTuple):
    """What mails must have in common to go together."""

    routes: tuple[str, ...]
    may_double: bool
    alone: UUID | None
    """One that has less life left than a try may take: it would bound the others' time; or one
    whose recipient's domain is slow: they would wait with it."""


class _Batch:
    """Mails that go together."""

    def __init__(self) -> None:
        self.key: _BatchKey | None = None
        self.ready: list[Ready] = []

    @property
    def is_full(self) -> bool:
        return self.key is not None and (
            self.key.alone is not None or len(self.ready) >= routes.batch_size(self.key.routes)
        )

    @property
    def deliveries(self) -> list[Delivery]:
        return [one.delivery for one in self.ready]


class _Round:
    """One round of one holder."""

    _clock: Clock

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._deliveries: dict[UUID, Delivery] = {}
        self._kept: set[UUID] = set()
        """Those for which a session stood before they were given to others."""
        self._fault: BaseException | None = None
        """Of the last look at those that are about to leave."""
        self._domains: dict[str, routes.HeldCourier] = {}
        """Those for which it counts as a courier that they hold."""

    def run(self, delivery_ids: Collection[UUID]) -> Results:
        # What is not found was settled meanwhile, or is another's.
        results: Results = dict.fromkeys(delivery_ids, DONE)
        due = results.keys() - pending_writes.known()
        try:
            results |= self._guarded(partial(self._carry, due), due)
        finally:
            for held in self._domains.values():
                routes.domains.give_back(held)
        declined = [one for one, result in results.items() if result.is_declined]
        return results | self._guarded(partial(self._free, declined), declined)

    def _carry(self, due: AbstractSet[UUID]) -> Results:
        if not due:
            return {}
        found = fresh_rows.take(due, self._holder)
        if left := due - {delivery.pk for delivery, _ in found}:
            found += retry_on_database_error(lambda: leases.read(left, self._holder))
        if not found:
            return {}
        held = [delivery for delivery, _ in found]
        self._clock = database.clock(found[-1][1])
        self._deliveries = {delivery.pk: delivery for delivery in held}
        results: Results = {}
        batch = _Batch()
        for delivery in sorted(held, key=lambda delivery: delivery.deadline):
            results |= self._guarded(partial(self._join, batch, delivery), [delivery.pk])
        if batch.key is not None:
            ids = [delivery.pk for delivery in batch.deliveries]
            results |= self._guarded(partial(self._send, batch.key, batch.ready), ids)
        return results

    def _free(self, declined: Collection[UUID]) -> Results:
        if declined:
            free = [self._deliveries[delivery_id] for delivery_id in declined]
            retry_on_database_error(lambda: leases.decline(free, self._holder, now=self._clock()))
        return {}

    def _join(self, batch: _Batch, delivery: Delivery) -> Results:
        """Take a delivery along; else see to it, or leave it for a round of its own."""
        if batch.is_full:
            return {delivery.pk: DUE}
        ready = preparing.prepare(delivery, self._holder, self._clock)
        if isinstance(ready, Result):
            return {delivery.pk: ready}
        key = self._key_of(ready)
        if batch.key not in {None, key}:
            return {delivery.pk: DUE}
        if not self._has_share(ready.domain, is_code=delivery.queue == Queue.CODE):
            return {delivery.pk: self._turn_away(ready.domain)}
        batch.key = key
        batch.ready.append(ready)
        return {}

    def _has_share(self, domain: str, *, is_code: bool) -> bool:
        """Take a courier of those that mail to this domain may hold, once a round."""
        if domain not in self._domains and (held := routes.domains.take(domain, is_code=is_code)):
            self._domains[domain] = held
        return domain in self._domains

    def _turn_away(self, domain: str) -> Result:
        """Leave it to others while its domain is slow here; else to a courier of ours, soon."""
        if routes.domains.is_slow(domain):
            return DECLINED
        return Result(wait_seconds=routes.domains.wait_seconds(domain))

    def _key_of(self, ready: Ready) -> _BatchKey:
        delivery, carried = ready.delivery, ready.carried
        avoid: Sequence[str] = ()
        if len(carried.routes) > 1 and (delivery.rounds or not carried.is_first):
            # What was asked for again, or may have been lost, goes another way than before.
            avoid = outbox.routes_used(delivery)
        is_short = self._life_left(delivery) < settings.LEASE_SECONDS / 2
        is_alone = is_short or routes.domains.is_slow(ready.domain)
        return _BatchKey(
            routes=tuple(routes.ordered(carried.routes, ready.rendered.mail, avoid=avoid)),
            may_double=carried.may_double,
            alone=delivery.pk if is_alone else None,
        )

    def _send(self, key: _BatchKey, batch: Sequence[Ready]) -> Results:
        ids = [ready.delivery.pk for ready in batch]
        awaiting_session.begin(ids)
        try:
            sent = self._send_by_routes(key, batch)
        finally:
            awaiting_session.end(ids)
        ends, left = [], []
        for ready, result in zip(batch, sent, strict=True):
            if any(map(_was_quick, result.route_attempts)):
                self._domains[ready.domain].is_quick = True
            if result.still_valid and result.route_attempts:
                ends.append(recording.end_of(ready.delivery, result.route_attempts, self._clock()))
            else:
                left.append((ready.delivery, result))
        # Before all else: these may have been taken.
        results = recording.record(ends, self._holder, self._clock)
        for delivery, result in left:
            results |= self._guarded(partial(self._leave, delivery, result), [delivery.pk])
        return results

    def _send_by_routes(
        self, key: _BatchKey, batch: Sequence[Ready]
    ) -> Sequence[routes.SendResult]:
        deliveries = [ready.delivery for ready in batch]
        with logmails.about(any(delivery.is_log_mail for delivery in deliveries)):
            return routes.send(
                [ready.rendered.mail for ready in batch],
                routes=key.routes,
                seconds=min(map(self._life_left, deliveries)),
                may_double=key.may_double,
                still_valid=lambda: self._still_valid(deliveries),
                on_late_result=lambda place, route_attempt: recording.note_late(
                    self._holder, deliveries[place], route_attempt
                ),
            )

    def _still_valid(self, deliveries: Sequence[Delivery]) -> set[int] | None:
        """Look once more. A fault says nothing of a mail, and must not lose those that left."""
        self._kept |= {delivery.pk for delivery in deliveries if awaiting_session.keep(delivery.pk)}
        try:
            # One that is not found was taken, as an event told, or is another's by now.
            taken = pending_writes.known()  # of an earlier round, whose end came late
            kept = [one for one in deliveries if one.pk in self._kept and one.pk not in taken]
            held = leases.read_again(kept, self._holder)
            now = self._clock()
            valid = {one for one in held if preparing.drop_reason(one, now) is None}
        except BaseException as fault:
            if ends_process(fault):
                raise
            self._fault = fault
            return None
        return {place for place, delivery in enumerate(deliveries) if delivery in valid}

    def _leave(self, delivery: Delivery, result: routes.SendResult) -> Results:
        """See to one that was not handed over to the end."""
        if not result.still_valid:
            return {delivery.pk: self._drop_invalid(delivery, result.route_attempts)}
        if self._fault is not None:
            raise self._fault
        is_shut = routes.wait_seconds(payload.of(delivery).routes) > 0
        # Else it had no turn in time, or another mail was faster to ask.
        return {delivery.pk: DECLINED if is_shut else DUE}

    def _drop_invalid(self, delivery: Delivery, route_attempts: Sequence[RouteAttempt]) -> Result:
        if route_attempts:
            recording.note(delivery, route_attempts)
        if delivery.pk not in self._kept:  # it was given to others, and lives
            return DONE
        reason = preparing.drop_reason(delivery, self._clock()) or Reason.EXPIRED
        return recording.drop(delivery, self._holder, reason, now=self._clock())

    def _life_left(self, delivery: Delivery) -> float:
        return (delivery.deadline - self._clock()).total_seconds()

    def _guarded(self, step: partial[Results], delivery_ids: Collection[UUID]) -> Results:
        read = map(self._deliveries.get, delivery_ids)
        log_mails = {one.pk for one in read if one is not None and one.is_log_mail}
        return guarded(step, delivery_ids, log_mails=log_mails)


def _was_quick(route_attempt: RouteAttempt) -> bool:
    outcome = route_attempt.outcome
    is_answer = outcome.kind is Kind.ACCEPTED or outcome.code is not None
    return is_answer and routes.is_quick(route_attempt.took_seconds)
