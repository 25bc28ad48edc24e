"""Courier threads inside the process that issues: the embedded default, with no broker.

1. A row is born leased to this engine, and its id is put in memory at commit.
2. A courier thread takes the id that is due first, a code before other mail, and does one round;
   while all of them are busy, it takes several codes at once.
3. If the round says to try again, an id goes back with the moment at which it is due: no polling.
4. A sweep looks now and then for rows whose process died, or that found no room in memory.
5. At the end, couriers send what is due while there is time, and all else is released for others.

In: ids. Out: rounds.
Knows nothing of: codes, mails.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import close_old_connections, connections

from otpmail import courier, database, endings, outbox, owners, routes
from otpmail.conf import settings
from otpmail.engines.base import Engine
from otpmail.engines.queue import Queue
from otpmail.models import Lane
from otpmail.outcomes import describe

GIVE_BACK_SECONDS = 0.5
"""Of the time to end, what is kept for releasing."""

log = logging.getLogger("otpmail.engine")


class ThreadsEngine(Engine):
    """A fixed number of courier threads over one bounded queue of two lanes."""

    def __init__(
        self,
        *,
        after_sweep: Callable[[], None] | None = None,
        patience_seconds: Callable[[], float] = float,
    ) -> None:
        """Make one whose sweep leaves to others what is due for less than its patience."""
        self._after_sweep = after_sweep
        self._patience_seconds = patience_seconds
        self._owner = owners.new()
        self._lock = threading.Lock()
        self._queue = Queue({Lane.CODE: settings.COURIERS, Lane.MAIL: settings.MAIL_COURIERS})
        self._started = False
        self._stop_at = math.inf
        self._ending = threading.Event()
        self._drained = threading.Event()

    def __repr__(self) -> str:
        """Tell its state in one line."""
        return f"<ThreadsEngine {self._owner} {self._queue!r}>"

    def start(self) -> None:
        """Start couriers and sweep, once."""
        if self._started:
            return
        with self._lock:
            if self._started or self._queue.is_closed:
                return
            # Daemons: the interpreter joins other threads before it calls atexit, for ever.
            for number in range(settings.COURIERS):
                threading.Thread(
                    target=self._carry, name=f"otpmail-courier-{number}", daemon=True
                ).start()
            threading.Thread(target=self._sweep, name="otpmail-sweep", daemon=True).start()
            self._started = True

    def owner(self, lane: Lane) -> str | None:
        """Take the row while its lane has room."""
        self.start()
        return self._owner if self._room(lane) > 0 else None

    def wake(self, delivery_ids: Iterable[UUID], lane: Lane) -> None:
        """Put ids in memory, due now; what is over waits in its row for a sweep of any process."""
        self.start()
        ids, room = list(delivery_ids), self._room(lane)
        for delivery_id in ids[:room]:
            self._queue.put(delivery_id, lane)
        if over := ids[room:]:
            self._guard(lambda: outbox.release(self._owner, only=over))

    def take_up(self, lane: Lane, delivery_ids: Collection[UUID] | None = None) -> None:
        """Claim what is due and nobody's, all of a lane or those, as far as there is room."""
        if (room := self._room(lane)) > 0:
            self.wake(self._claim(lane, limit=room, only=delivery_ids), lane)

    def run_now(self, delivery_id: UUID) -> None:
        """Claim a delivery and do a round in the calling thread; a courier does the next ones."""
        if not self._queue.is_closed:
            self._guard(lambda: self._run_now(delivery_id))

    def stop(self, seconds: float) -> None:
        """Send what is due, give back the rest for others; never take longer than told."""
        with self._lock:
            self._stop_at = time.monotonic() + seconds
            self._queue.close()
        self._ending.set()
        if self._started and not self._drained.wait(seconds):
            log.warning("Email engine stopped with %d mails in flight", len(self._queue.in_hand()))

    def _room(self, lane: Lane) -> int:
        room = settings.QUEUE_SIZE - self._queue.count(lane)
        return 0 if self._queue.is_closed else max(0, room)

    def _claim(self, lane: Lane, *, limit: int, only: Collection[UUID] | None = None) -> list[UUID]:
        due_by = now = database.now()
        if only is None:
            due_by -= timedelta(seconds=self._patience_seconds())
        return outbox.claim(self._owner, lane=lane, now=now, due_by=due_by, limit=limit, only=only)

    def _run_now(self, delivery_id: UUID) -> None:
        for lane in Lane:
            if self._claim(lane, limit=1, only=[delivery_id]):
                self._queue.hold(delivery_id, lane)
                self._queue.let_go(delivery_id, lane, self._round([delivery_id])[delivery_id])
                return

    def _carry(self) -> None:
        turn = self._queue.turn()
        while taken := self._queue.take(turn, codes=routes.most_together(settings.ROUTES)):
            delivery_ids, lane = taken
            self._queue.give_back(self._round(delivery_ids), lane)
        routes.close()
        connections.close_all()

    def _round(self, delivery_ids: Sequence[UUID]) -> dict[UUID, float | None]:
        try:
            return courier.run(delivery_ids, self._owner)
        finally:
            close_old_connections()

    def _sweep(self) -> None:
        self._guard(routes.warm)
        while not self._queue.is_closed:
            self._guard(self._look_after)
            self._ending.wait(settings.SWEEP_SECONDS)
        self._guard(self._give_back)
        self._queue.join()
        self._guard(lambda: outbox.release(self._owner))  # what came back to be tried again
        connections.close_all()
        self._drained.set()

    def _guard(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the next sweep tries again
            log.error("Email engine: a step failed %s", describe(error))  # noqa: TRY400
        finally:
            close_old_connections()

    def _look_after(self) -> None:
        now = database.now()
        if in_hand := self._queue.in_hand():
            outbox.renew(in_hand, self._owner, now=now)
        reaped = outbox.reap(now=now)
        for lane in Lane:
            if reaped:  # however short it has been due: whoever heard of it is gone
                self.take_up(lane, reaped)
            self.take_up(lane)
        endings.expire(now=now, seconds=0.5)
        endings.revoke(now=now, seconds=0.5)
        if self._after_sweep is not None:
            self._after_sweep()

    def _give_back(self) -> None:
        in_hand = self._queue.drain(self._stop_at - GIVE_BACK_SECONDS)
        outbox.release(self._owner, but=in_hand)
