"""Courier threads inside the process that issues: the embedded default, with no broker.

1. A row is born leased to this engine, and its id is put in memory at commit, or when the response
   has been written of the request that enqueued it (``after_response``).
2. A courier thread takes the id whose turn it is, a code before other mail, and does one round;
   while all of them are busy, it takes several codes at once.
3. If the round says to try again, an id goes back with the moment at which it is due: no polling.
   If it says that this process cannot do it now, the row is free again, and left to others.
4. A sweep looks now and then for rows that are due and nobody's, and does its `Maintenance`.
5. What it takes, and what it gives back for others to send, is told in ``claims``.
6. At the end, couriers send what is due while there is time, and all else is released for others.

In: ids. Out: rounds.
Knows nothing of: codes, mails.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from django.db import Error, close_old_connections, connections

from otpmail import routes, signals
from otpmail.conf import settings
from otpmail.delivery import courier, holders, leases, pending_writes
from otpmail.engines import after_response
from otpmail.engines.base import Engine
from otpmail.engines.claims import Claims
from otpmail.engines.courier_step import CourierStep, close_connections
from otpmail.engines.maintenance import Maintenance
from otpmail.engines.schedule import Schedule
from otpmail.exceptions.foreign import ends_process
from otpmail.models import Queue
from otpmail.outcomes.describing import describe, log_fault
from otpmail.runtime.loop import Loop

GIVE_BACK_SECONDS = 0.5
"""Of the time to end, what is kept for releasing."""

STUCK_LEASES = 2
"""A courier whose round takes longer than so many leases does not count as alive."""

log = logging.getLogger("otpmail.engine")


class ThreadsEngine(Engine):
    """A fixed number of courier threads over a bounded schedule of two queues."""

    def __init__(
        self,
        *,
        after_sweep: Callable[[], None] | None = None,
        patience_seconds: Callable[[], float] = float,
    ) -> None:
        """Make one whose sweep leaves to others what is due for less than its patience.

        ``after_sweep`` is called after each sweep that went well, in its thread.
        """
        self._after_sweep = after_sweep
        self._holder = holders.new()
        self._schedule = Schedule(
            {Queue.CODE: settings.COURIERS, Queue.MAIL: settings.MAIL_COURIERS}
        )
        self._claims = Claims(
            self._holder,
            self._schedule,
            patience_seconds=patience_seconds,
            is_staffed=lambda: any(one.is_alive for one in self._couriers),
        )
        self._maintenance = Maintenance(self._holder, self._schedule)
        self._sweep = Loop("otpmail-sweep", self._step, last=self._end)
        self._couriers = [
            Loop(
                f"otpmail-courier-{number}",
                CourierStep(self._schedule, self._round),
                last=close_connections,
            )
            for number in range(settings.COURIERS)
        ]
        self._pid = os.getpid()
        self._stop_at = math.inf
        self._drained = threading.Event()
        for signal in (signals.circuit_opened, signals.circuit_closed):
            signal.connect(self._routes_changed)

    def __repr__(self) -> str:
        return f"<ThreadsEngine {self._holder} {self._schedule!r}>"

    @property
    def is_well(self) -> bool:
        """Whether all its threads live, and not all of its couriers are stuck."""
        threads_live = self._sweep.is_alive and all(one.is_alive for one in self._couriers)
        limit = STUCK_LEASES * settings.LEASE_SECONDS
        return threads_live and all(self._schedule.still_seconds(queue) < limit for queue in Queue)

    def start(self) -> None:
        """Start the sweep, which starts the couriers. Never raises; what is missing comes later."""
        if not self._sweep.is_alive and not self._schedule.is_closed:
            self._sweep.ensure()
            self._ensure_couriers()

    def holder(self, queue: Queue) -> str | None:
        """Take the row while it can be sent from here, and its queue has room."""
        self.start()
        return self._holder if self._claims.take(queue) else None

    def notify(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        """Put ids in memory, due now; what is over waits in its row for a sweep of any process.

        In a request, they are put there when its response has been written.
        """
        self.start()
        ids, room = list(delivery_ids), self._claims.room_in_memory(queue)
        after_response.call(lambda: self._put(ids[:room], queue))
        if over := ids[room:]:
            self._release_over(over)

    def _put(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        for delivery_id in delivery_ids:
            self._schedule.put(delivery_id, queue)

    def _release_over(self, delivery_ids: Collection[UUID]) -> None:
        try:
            leases.release(self._holder, only=delivery_ids)
        except Error as error:  # the sweep finds them; the connection is the caller's
            log.warning("Email engine: mails over the room wait for a sweep %s", describe(error))

    def wake(self) -> None:
        """Have the sweep look now."""
        self._sweep.wake()

    def claim_due(self, queue: Queue, delivery_ids: Collection[UUID] | None = None) -> None:
        """Claim what is due and nobody's, all of a queue or those, as far as there is room."""
        self.start()
        self._claims.claim_due(queue, delivery_ids)

    def run_now(self, delivery_id: UUID) -> None:
        """Claim a delivery and do a round in the calling thread; a courier does the next ones."""
        if not self._schedule.is_closed:
            self._guard(lambda: self._run_now(delivery_id))

    def stop(self, seconds: float) -> None:
        """Send what is due, give back the rest for others; never take longer than told."""
        self._stop_at = time.monotonic() + seconds
        after_response.call_all()
        # What the route's usual time says cannot be finished is not begun: it would be doubled.
        usual_seconds = max(routes.usual_seconds(), self._schedule.longest_in_hand_seconds())
        self._schedule.close(self._stop_at - GIVE_BACK_SECONDS - usual_seconds)
        self._sweep.wake()
        if self._sweep.is_alive and not self._drained.wait(seconds):
            log.warning(
                "Email engine stopped with %d mails in flight", len(self._schedule.in_hand())
            )
        pending_writes.finish(self._stop_at - time.monotonic())

    # Rounds.

    def _run_now(self, delivery_id: UUID) -> None:
        for queue in Queue:
            if self._claims.claim_one(queue, delivery_id):
                self._schedule.hold(delivery_id, queue)
                wait_seconds: float | None = settings.SWEEP_SECONDS
                try:
                    wait_seconds = self._round([delivery_id])[delivery_id]
                finally:
                    self._schedule.let_go(delivery_id, queue, wait_seconds)
                return

    def _round(self, delivery_ids: Sequence[UUID]) -> dict[UUID, float | None]:
        try:
            ended = courier.run(delivery_ids, self._holder)
        finally:
            close_old_connections()
        self._claims.backoff.add(ended.declined)
        if self._claims.may_claim_more():
            self._sweep.wake()
        return ended.waits

    # The sweep.

    def _step(self) -> float | None:
        if self._schedule.is_closed:
            return None
        try:
            self._look()
        finally:
            close_old_connections()
        return self._wait_seconds()

    def _look(self) -> None:
        self._ensure_couriers()
        routes.probe_sessions(then=self._routes_changed)
        self._claims.give_back()
        is_due = self._maintenance.due_in_seconds == 0
        if is_due:
            after_response.call_all()
        lost = self._maintenance.run() if is_due else []
        for queue in Queue:
            if lost:  # however short it has been due: whoever heard of it is gone
                self.claim_due(queue, lost)
            self.claim_due(queue)
            if is_due:
                self._claims.claim_dead(queue)
        if is_due and self._after_sweep is not None:
            self._after_sweep()

    def _wait_seconds(self) -> float:
        return min(self._maintenance.due_in_seconds, routes.session_probe_seconds())

    def _ensure_couriers(self) -> None:
        if not self._schedule.is_closed:
            for one in self._couriers:
                one.ensure()

    def _routes_changed(self, **_: object) -> None:
        if os.getpid() == self._pid:  # a forked child's signals still know its parent's engine
            self._claims.backoff.clear()
            self._sweep.wake()

    def _end(self) -> None:
        self._maintenance.end()
        self._guard(self._give_back)
        self._schedule.join()
        self._guard(self._release)  # what came back to be tried again
        connections.close_all()
        self._drained.set()

    def _give_back(self) -> None:
        self._release(but=self._schedule.drain(self._stop_at - GIVE_BACK_SECONDS))

    def _release(self, *, but: Collection[UUID] = ()) -> None:
        leases.release(self._holder, but=pending_writes.known().union(but))

    def _guard(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as error:  # the next sweep tries again
            if ends_process(error):
                raise
            log_fault(log, "Email engine: a step failed", error)
        finally:
            close_old_connections()
