"""Courier threads inside the process that issues: the embedded default, with no broker.

1. A row is born leased to this engine, and its id is put in memory at commit.
2. A courier thread takes the id whose turn it is, a code before other mail, and does one round;
   while all of them are busy, it takes several codes at once.
3. If the round says to try again, an id goes back with the moment at which it is due: no polling.
   If it says that this process cannot do it now, the row is free again, and left to others.
4. A sweep looks now and then for rows that are due and nobody's, and for what needs care (`Care`).
5. A process whose routes are all shut, or whose couriers all stand still, keeps nothing in memory
   and takes nothing: others may be able to send it.
6. At the end, couriers send what is due while there is time, and all else is released for others.

In: ids. Out: rounds.
Knows nothing of: codes, mails.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import Error, close_old_connections, connections

from otpmail import routes, signals
from otpmail.conf import settings
from otpmail.db import database
from otpmail.delivery import courier, holders, leases, unrecorded, waiting
from otpmail.engines.base import Engine
from otpmail.engines.care import Care
from otpmail.engines.carrying import Carrying, hang_up
from otpmail.engines.declined import Declined
from otpmail.engines.queue import Queue
from otpmail.exceptions.foreign import ends_process
from otpmail.models import Lane
from otpmail.outcomes.describing import describe, log_fault
from otpmail.runtime.loop import Loop

CLAIM_LIMIT = 100
"""Rows a claim: what others could send meanwhile does not lie in this process's memory."""

GIVE_BACK_SECONDS = 0.5
"""Of the time to end, what is kept for releasing."""

STILL_SECONDS = 1.0
"""How long couriers may stand still before what waits for them is given to others."""

SESSION_SECONDS = 2.0
"""How long a mail waits for a session with a mail server before others may have it."""

PROBE_SECONDS = 0.5
"""Between two mails that find out whether a shut route which answers takes mails again."""

STUCK_LEASES = 2
"""A courier whose round takes longer than so many leases does not count as alive."""

log = logging.getLogger("otpmail.engine")


class ThreadsEngine(Engine):
    """A fixed number of courier threads over one bounded queue of two lanes."""

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
        self._patience_seconds = patience_seconds
        self._owner = holders.new()
        self._queue = Queue({Lane.CODE: settings.COURIERS, Lane.MAIL: settings.MAIL_COURIERS})
        self._declined = Declined()
        self._care = Care(self._owner, self._queue)
        self._sweep = Loop("otpmail-sweep", self._step, last=self._end)
        self._couriers = [
            Loop(f"otpmail-courier-{number}", Carrying(self._queue, self._round), last=hang_up)
            for number in range(settings.COURIERS)
        ]
        self._claimed_all = dict.fromkeys(Lane, True)
        self._next_probe_at = 0.0
        self._pid = os.getpid()
        self._stop_at = math.inf
        self._drained = threading.Event()
        for signal in (signals.circuit_opened, signals.circuit_closed):
            signal.connect(self._routes_changed)

    def __repr__(self) -> str:
        """Tell its state in one line."""
        return f"<ThreadsEngine {self._owner} {self._queue!r}>"

    @property
    def is_well(self) -> bool:
        """Whether all its threads live, and not all of its couriers are stuck."""
        threads_live = self._sweep.is_alive and all(one.is_alive for one in self._couriers)
        limit = STUCK_LEASES * settings.LEASE_SECONDS
        return threads_live and all(self._queue.still_seconds(lane) < limit for lane in Lane)

    def start(self) -> None:
        """Start the sweep, which starts the couriers. Never raises; what is missing comes later."""
        if not self._sweep.is_alive and not self._queue.is_closed:
            self._sweep.ensure()
            self._ensure_couriers()

    def owner(self, lane: Lane) -> str | None:
        """Take the row while it can be sent from here, and its lane has room."""
        self.start()
        if self._room(lane) <= 0:
            return None
        self._took(lane)
        return self._owner

    def wake(self, delivery_ids: Iterable[UUID], lane: Lane) -> None:
        """Put ids in memory, due now; what is over waits in its row for a sweep of any process."""
        self.start()
        ids, room = list(delivery_ids), self._room_in_memory(lane)
        for delivery_id in ids[:room]:
            self._queue.put(delivery_id, lane)
        if over := ids[room:]:
            self._release_over(over)

    def _release_over(self, delivery_ids: Collection[UUID]) -> None:
        try:
            leases.release(self._owner, only=delivery_ids)
        except Error as error:  # the sweep finds them; the connection is the caller's
            log.warning("Email engine: mails over the room wait for a sweep %s", describe(error))

    def nudge(self) -> None:
        """Have the sweep look now."""
        self._sweep.nudge()

    def take_up(self, lane: Lane, delivery_ids: Collection[UUID] | None = None) -> None:
        """Claim what is due and nobody's, all of a lane or those, as far as there is room.

        Of a backlog no more than is sent soon; whoever ends a round asks for the next part of it.
        """
        self.start()
        if (room := self._room(lane)) <= 0:
            return
        is_hint = delivery_ids is not None
        limit = min(room, CLAIM_LIMIT - (0 if is_hint else self._queue.count(lane)))
        claimed = self._claim(lane, limit=limit, only=delivery_ids) if limit > 0 else {}
        self._put(claimed, lane)
        if claimed:
            self._took(lane)
        if not is_hint:
            self._claimed_all[lane] = len(claimed) < limit

    def run_now(self, delivery_id: UUID) -> None:
        """Claim a delivery and do a round in the calling thread; a courier does the next ones."""
        if not self._queue.is_closed:
            self._guard(lambda: self._run_now(delivery_id))

    def stop(self, seconds: float) -> None:
        """Send what is due, give back the rest for others; never take longer than told."""
        self._stop_at = time.monotonic() + seconds
        # What the route's usual time says cannot be finished is not begun: it would be doubled.
        usual_seconds = max(routes.usual_seconds(), self._queue.longest_in_hand_seconds())
        self._queue.close(self._stop_at - GIVE_BACK_SECONDS - usual_seconds)
        self._sweep.nudge()
        if self._sweep.is_alive and not self._drained.wait(seconds):
            log.warning("Email engine stopped with %d mails in flight", len(self._queue.in_hand()))
        unrecorded.finish(self._stop_at - time.monotonic())

    # Room.

    def _room(self, lane: Lane) -> int:
        """Tell how many rows may be taken that can be sent from here soon."""
        if self._is_still(lane) or not any(one.is_alive for one in self._couriers):
            return 0
        capacity = routes.capacity(lane)
        if time.monotonic() < self._next_probe_at:
            capacity = capacity if capacity == math.inf else 0
        return int(min(self._room_in_memory(lane), capacity))

    def _took(self, lane: Lane) -> None:
        """Take note of a mail that is to find out whether a shut route takes mails again."""
        if routes.capacity(lane) < math.inf:
            self._next_probe_at = time.monotonic() + PROBE_SECONDS

    def _room_in_memory(self, lane: Lane) -> int:
        room = settings.QUEUE_SIZE - self._queue.count(lane)
        return 0 if self._queue.is_closed else max(0, room)

    def _is_still(self, lane: Lane) -> bool:
        seconds = self._queue.still_seconds(lane)
        return seconds > STILL_SECONDS and seconds > 2 * routes.usual_seconds()

    # Rounds.

    def _put(self, claimed: Mapping[UUID, float], lane: Lane) -> None:
        for delivery_id, due_seconds in claimed.items():
            self._queue.put(delivery_id, lane, -due_seconds)

    def _claim(
        self,
        lane: Lane,
        *,
        limit: int,
        only: Collection[UUID] | None = None,
        is_dead: bool = False,
    ) -> dict[UUID, float]:
        due_by = now = database.now()
        if only is None:
            due_by -= timedelta(seconds=self._patience_seconds())
        return leases.claim(
            self._owner,
            lane=lane,
            now=now,
            due_by=due_by,
            limit=limit,
            only=only,
            but=self._declined.now() | self._queue.in_hand(),
            is_dead=is_dead,
        )

    def _run_now(self, delivery_id: UUID) -> None:
        for lane in Lane:
            if self._room(lane) > 0 and self._claim(lane, limit=1, only=[delivery_id]):
                self._queue.hold(delivery_id, lane)
                wait_seconds: float | None = settings.SWEEP_SECONDS
                try:
                    wait_seconds = self._round([delivery_id])[delivery_id]
                finally:
                    self._queue.let_go(delivery_id, lane, wait_seconds)
                return

    def _round(self, delivery_ids: Sequence[UUID]) -> dict[UUID, float | None]:
        try:
            ended = courier.run(delivery_ids, self._owner)
        finally:
            close_old_connections()
        self._declined.add(ended.declined)
        self._ask_for_more()
        return ended.waits

    def _ask_for_more(self) -> None:
        for lane, all_ in self._claimed_all.items():
            if not all_ and self._queue.count(lane) <= CLAIM_LIMIT / 2:
                self._sweep.nudge()

    # The sweep.

    def _step(self) -> float | None:
        if self._queue.is_closed:
            return None
        try:
            self._look()
        finally:
            close_old_connections()
        return self._wait_seconds()

    def _look(self) -> None:
        self._ensure_couriers()
        routes.knock(then=self._routes_changed)
        self._let_others()
        self._share()
        is_due = self._care.due_in_seconds == 0
        lost = self._care.take() if is_due else []
        for lane in Lane:
            if lost:  # however short it has been due: whoever heard of it is gone
                self.take_up(lane, lost)
            self.take_up(lane)
            if is_due:
                self._take_dead(lane)
        if is_due and self._after_sweep is not None:
            self._after_sweep()

    def _take_dead(self, lane: Lane) -> None:
        """While nothing can be sent, claim what is past its deadline, so that it is dropped."""
        if routes.capacity(lane) < math.inf:
            self._put(self._claim(lane, limit=CLAIM_LIMIT, is_dead=True), lane)

    def _let_others(self) -> None:
        """Give back what waits in memory and cannot be sent from here soon."""
        for lane in Lane:
            is_shut = routes.capacity(lane) < math.inf
            if is_shut or self._is_still(lane):
                self._claimed_all[lane] = False  # whoever ends a round asks for more
                if forgotten := self._queue.forget(lane, due_only=not is_shut):
                    leases.release(self._owner, only=forgotten)

    def _share(self) -> None:
        """Give to others what has waited for a session for long; its round sends it no more."""
        if late := waiting.give_up(seconds=SESSION_SECONDS):
            self._declined.add(late)
            leases.release(self._owner, only=late)

    def _wait_seconds(self) -> float:
        return min(self._care.due_in_seconds, routes.knock_seconds())

    def _ensure_couriers(self) -> None:
        if not self._queue.is_closed:
            for one in self._couriers:
                one.ensure()

    def _routes_changed(self, **_: object) -> None:
        if os.getpid() == self._pid:  # a forked child's signals still know its parent's engine
            self._declined.clear()
            self._sweep.nudge()

    def _end(self) -> None:
        self._care.end()
        self._guard(self._give_back)
        self._queue.join()
        self._guard(self._release)  # what came back to be tried again
        connections.close_all()
        self._drained.set()

    def _give_back(self) -> None:
        self._release(but=self._queue.drain(self._stop_at - GIVE_BACK_SECONDS))

    def _release(self, *, but: Collection[UUID] = ()) -> None:
        leases.release(self._owner, but=unrecorded.known().union(but))

    def _guard(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as error:  # the next sweep tries again
            if ends_process(error):
                raise
            log_fault(log, "Email engine: a step failed", error)
        finally:
            close_old_connections()
