"""Courier threads inside the process that issues: the embedded default, with no broker.

1. A row is born leased to this engine, and its id is put in memory at commit.
2. A courier thread takes the id that is due first and does one round.
3. If the round says to try again, the id goes back with the moment at which it is due: no polling.
4. A sweep looks now and then for rows whose process died, or that found no room in memory.
5. At the end, couriers send what is due while there is time, and all else is released for others.

In: ids. Out: rounds.
Knows nothing of: codes, mails.
"""

import atexit
import heapq
import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from django.db import close_old_connections, connections

from otpmail import courier, database, endings, outbox, owners, routes
from otpmail.conf import settings
from otpmail.engines.base import Engine
from otpmail.outcomes import describe

EXPIRE_LIMIT = 100
"""Challenges ended a sweep; a backlog is worked off sweep by sweep."""

GIVE_BACK_SECONDS = 0.5
"""Of the time to end, what is kept for releasing."""

log = logging.getLogger("otpmail.engine")


class ThreadsEngine(Engine):
    """A fixed number of courier threads over one bounded queue that is also the timer."""

    def __init__(self, *, after_sweep: Callable[[], None] | None = None) -> None:
        self._after_sweep = after_sweep
        self._owner = owners.new()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[threading.Condition] = []  # couriers that wait, the last one warmest
        self._round_over = threading.Condition(self._lock)
        self._due: list[tuple[float, int, UUID]] = []  # heap: monotonic seconds, tie-break, id
        self._order = itertools.count()
        self._known: set[UUID] = set()  # in the heap or in hand
        self._in_hand: set[UUID] = set()
        self._again: set[UUID] = set()  # heard of while in hand
        self._started = self._stopping = False
        self._stop_at = math.inf
        self._ending = threading.Event()
        self._drained = threading.Event()

    def __repr__(self) -> str:
        """Tell its state in one line."""
        return (
            f"<ThreadsEngine {self._owner} known={len(self._known)} in_hand={len(self._in_hand)}"
            f"{' stopping' if self._stopping else ''}>"
        )

    def start(self) -> None:
        """Start couriers and sweep, once."""
        if self._started:
            return
        with self._lock:
            if self._started or self._stopping:
                return
            # Daemons: the interpreter joins other threads before it calls atexit, for ever.
            for number in range(settings.COURIERS):
                threading.Thread(
                    target=self._carry, name=f"otpmail-courier-{number}", daemon=True
                ).start()
            threading.Thread(target=self._sweep, name="otpmail-sweep", daemon=True).start()
            atexit.register(self._at_exit)
            self._started = True

    def owner(self) -> str | None:
        """Take the row while there is room; requests under way at once may go over by one each."""
        self.start()
        has_room = len(self._known) < settings.QUEUE_SIZE and not self._stopping
        return self._owner if has_room else None

    def wake(self, delivery_ids: Iterable[UUID]) -> None:
        """Put ids in memory, due now."""
        self.start()
        for delivery_id in delivery_ids:
            self._put(delivery_id, 0)

    def take_up(self, delivery_ids: Collection[UUID] | None = None) -> None:
        """Claim what is due and nobody's, all or those of these, as far as there is room."""
        with self._lock:
            room = settings.QUEUE_SIZE - len(self._known)
        if room > 0 and not self._stopping:
            self.wake(outbox.claim(self._owner, now=database.now(), limit=room, only=delivery_ids))

    def stop(self, seconds: float) -> None:
        """Send what is due, give back the rest for others; never take longer than told."""
        with self._lock:
            self._stopping = True
            self._stop_at = time.monotonic() + seconds
            while self._idle:
                self._wake_one()
        self._ending.set()
        if self._started and not self._drained.wait(seconds):
            log.warning("Email engine stopped with %d mails in flight", len(self._in_hand))

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:  # a forked child inherits the call, and not the threads
            self.stop(settings.DRAIN_SECONDS)

    def _put(self, delivery_id: UUID, wait_seconds: float) -> None:
        with self._lock:
            if delivery_id in self._in_hand:
                self._again.add(delivery_id)
            if self._stopping or delivery_id in self._known:
                return
            self._known.add(delivery_id)
            entry = (time.monotonic() + wait_seconds, next(self._order), delivery_id)
            heapq.heappush(self._due, entry)
            self._wake_one()

    def _wake_one(self) -> None:
        # The one that worked last: its connections are the warmest.
        if self._idle:
            self._idle.pop().notify()

    def _take(self, turn: threading.Condition) -> UUID | None:
        """Wait for the first id that is due; None when the engine stops."""
        with self._lock:
            while (wait := self._wait_seconds()) > 0:
                if self._stopping:
                    return None
                self._idle.append(turn)
                turn.wait(wait)
                if turn in self._idle:  # its time came before anybody woke it
                    self._idle.remove(turn)
            delivery_id = heapq.heappop(self._due)[2]
            self._in_hand.add(delivery_id)
            if self._due:  # somebody must wait for the next one
                self._wake_one()
            return delivery_id

    def _wait_seconds(self) -> float:
        return self._due[0][0] - time.monotonic() if self._due else threading.TIMEOUT_MAX

    def _carry(self) -> None:
        turn = threading.Condition(self._lock)
        while (delivery_id := self._take(turn)) is not None:
            wait_seconds = self._round(delivery_id)
            with self._lock:
                self._in_hand.discard(delivery_id)
                self._known.discard(delivery_id)
                if delivery_id in self._again:
                    self._again.discard(delivery_id)
                    wait_seconds = wait_seconds or 0
                self._round_over.notify_all()
            if wait_seconds is not None:
                self._put(delivery_id, wait_seconds)
        routes.close()
        connections.close_all()

    def _round(self, delivery_id: UUID) -> float | None:
        try:
            return courier.run(delivery_id, self._owner)
        except Exception as error:  # noqa: BLE001 - the row is safe: it is tried again, here or elsewhere
            log.error(  # noqa: TRY400 - a database's words can quote a row
                "Email engine: a round failed delivery=%s %s", delivery_id, describe(error)
            )
            return min(settings.SWEEP_SECONDS, settings.LEASE_SECONDS / 2)
        finally:
            close_old_connections()

    def _sweep(self) -> None:
        self._guard(routes.warm)
        while not self._stopping:
            self._guard(self._look_after)
            self._ending.wait(settings.SWEEP_SECONDS)
        self._guard(self._give_back)
        with self._lock:
            self._round_over.wait_for(lambda: not self._in_hand)
        self._guard(lambda: outbox.release(self._owner))  # what came back to be tried again
        connections.close_all()
        self._drained.set()

    def _guard(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the next sweep tries again
            log.error("Email engine: a sweep failed %s", describe(error))  # noqa: TRY400
        finally:
            close_old_connections()

    def _look_after(self) -> None:
        now = database.now()
        with self._lock:
            in_hand = set(self._in_hand)
        if in_hand:
            outbox.renew(in_hand, self._owner, now=now)
        outbox.reap(now=now)
        self.take_up()
        endings.expire(now=now, limit=EXPIRE_LIMIT)
        endings.revoke(now=now, limit=EXPIRE_LIMIT)
        if self._after_sweep is not None:
            self._after_sweep()

    def _give_back(self) -> None:
        with self._lock:
            self._round_over.wait_for(
                lambda: not self._in_hand and self._wait_seconds() > 0,
                self._stop_at - GIVE_BACK_SECONDS - time.monotonic(),
            )
            self._due.clear()
            in_hand = set(self._in_hand)
        outbox.release(self._owner, but=in_hand)
