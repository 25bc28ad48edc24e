"""What a process keeps in memory: ids, each with the moment at which it is due, in two lanes.

A heap a lane is both queue and timer: a courier sleeps until the first id is due, so no id is
polled for. A code that is due goes before other mail, and only so many couriers carry other mail at
once. The rest are kept for codes, and with them a session to the mail server each.

While no courier idles, one takes several codes that are due; of other mail always one, for it may
be large, and is not to be doubled.

In: ids, and seconds to wait. Out: the ids whose turn it is, to a courier that waits for them.
Knows nothing of: rows, rounds, how much room there is.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from otpmail.models import Lane


@dataclass(slots=True)
class _Waiting:
    """One lane. ``most`` are the couriers that may carry it at once."""

    most: int
    due: list[tuple[float, int, UUID]] = field(default_factory=list)  # monotonic seconds, tie-break
    known: set[UUID] = field(default_factory=set)  # in the heap or in hand
    in_hand: dict[UUID, float] = field(default_factory=dict)  # and when each was due
    couriers: int = 0  # that have it in hand

    def wait_seconds(self) -> float:
        if not self.due or self.couriers >= self.most:
            return threading.TIMEOUT_MAX
        return self.due[0][0] - time.monotonic()

    def take(self, most: int) -> list[UUID]:
        """Take the first, and those after it that are due."""
        taken, now = [heapq.heappop(self.due)], time.monotonic()
        while len(taken) < most and self.due and self.due[0][0] <= now:
            taken.append(heapq.heappop(self.due))
        self.in_hand.update({delivery_id: at for at, _, delivery_id in taken})
        self.couriers += 1
        return [delivery_id for _, _, delivery_id in taken]


class Queue:
    """Shared by the threads of one engine; no call but `take`, `drain` and `join` waits."""

    def __init__(self, most: Mapping[Lane, int]) -> None:
        self._lock = threading.Lock()
        self._lanes = {lane: _Waiting(most[lane]) for lane in Lane}  # codes first
        self._order = itertools.count()
        self._again: set[UUID] = set()  # heard of while in hand
        self._held: set[UUID] = set()  # in hand of threads that are no couriers
        self._idle: list[threading.Condition] = []  # couriers that wait, the last one warmest
        self._timer: threading.Condition | None = None  # the one of them that minds the time
        self._round_over = threading.Condition(self._lock)
        self.is_closed = False
        self._is_drained = False

    def __repr__(self) -> str:
        """Tell how many there are, in one line."""
        known = sum(len(waiting.known) for waiting in self._lanes.values())
        closed = " closed" if self.is_closed else ""
        return f"known={known} in_hand={len(self._in_hand())}{closed}"

    def count(self, lane: Lane) -> int:
        """Count what waits in a lane or is in hand."""
        return len(self._lanes[lane].known)

    def in_hand(self) -> set[UUID]:
        """Name what couriers work on now."""
        with self._lock:
            return self._in_hand()

    def put(self, delivery_id: UUID, lane: Lane, wait_seconds: float = 0) -> None:
        """Take an id in, due in so many seconds. One that is known already is not doubled."""
        with self._lock:
            self._put(delivery_id, self._lanes[lane], wait_seconds)

    def take(self, turn: threading.Condition, *, codes: int) -> tuple[list[UUID], Lane] | None:
        """Wait for the ids whose turn it is: so many codes at most, or one other mail.

        None when the queue is closed and nothing is due. They come back by `give_back`.
        """
        with self._lock:
            while (lane := self._first()) is None:
                if self.is_closed:
                    return None
                self._wait(turn)
            most = codes if lane is Lane.CODE and not self._idle else 1
            taken = self._lanes[lane].take(most)
            if self._timer is None and self._wait_seconds() < threading.TIMEOUT_MAX:
                self._wake_one()
            return taken, lane

    def hold(self, delivery_id: UUID, lane: Lane) -> None:
        """Take an id in that the calling thread works on itself; it ends that by `let_go`."""
        with self._lock:
            self._lanes[lane].known.add(delivery_id)
            self._held.add(delivery_id)

    def give_back(self, waits: Mapping[UUID, float | None], lane: Lane) -> None:
        """End a courier's round. Each id is forgotten, or due again in so many seconds."""
        with self._lock:
            self._lanes[lane].couriers -= 1
            self._end_round(waits, self._lanes[lane])

    def let_go(self, delivery_id: UUID, lane: Lane, wait_seconds: float | None) -> None:
        """End the round of a thread that is no courier."""
        with self._lock:
            self._held.discard(delivery_id)
            self._end_round({delivery_id: wait_seconds}, self._lanes[lane])

    def turn(self) -> threading.Condition:
        """Make what one courier waits with."""
        return threading.Condition(self._lock)

    def close(self) -> None:
        """Take nothing in any more; what is due already may still be taken."""
        with self._lock:
            self.is_closed = True
            while self._idle:
                self._wake_one()

    def drain(self, until: float) -> set[UUID]:
        """Wait until nothing is due or in hand, or a monotonic moment comes; forget what waits.

        Returns what is still in hand.
        """
        with self._lock:
            self._round_over.wait_for(
                lambda: not self._in_hand() and self._wait_seconds() > 0, until - time.monotonic()
            )
            self._is_drained = True
            for waiting in self._lanes.values():
                waiting.due.clear()
            return self._in_hand()

    def join(self) -> None:
        """Wait until nothing is in hand."""
        with self._lock:
            self._round_over.wait_for(lambda: not self._in_hand())

    def _end_round(self, waits: Mapping[UUID, float | None], waiting: _Waiting) -> None:
        now = time.monotonic()
        for delivery_id, wait_seconds in waits.items():
            due_at = waiting.in_hand.pop(delivery_id, now)
            waiting.known.discard(delivery_id)
            wait = (wait_seconds or 0) if delivery_id in self._again else wait_seconds
            self._again.discard(delivery_id)
            if wait == 0 and not self._is_drained:  # it keeps its place
                self._push(delivery_id, waiting, due_at)
            elif wait is not None and not self.is_closed:
                self._push(delivery_id, waiting, now + wait)
        self._round_over.notify_all()

    def _put(self, delivery_id: UUID, waiting: _Waiting, wait_seconds: float) -> None:
        if delivery_id in waiting.in_hand:
            self._again.add(delivery_id)
        if self.is_closed or delivery_id in waiting.known:
            return
        self._push(delivery_id, waiting, time.monotonic() + wait_seconds)

    def _push(self, delivery_id: UUID, waiting: _Waiting, due_at: float) -> None:
        waiting.known.add(delivery_id)
        heapq.heappush(waiting.due, (due_at, next(self._order), delivery_id))
        self._timer = None  # whoever is woken minds the time anew
        self._wake_one()

    def _wait(self, turn: threading.Condition) -> None:
        # One minds the time, or each id that comes due would wake every courier.
        minds_time = self._timer is None
        if minds_time:
            self._timer = turn
        self._idle.append(turn)
        turn.wait(self._wait_seconds() if minds_time else None)
        if self._timer is turn:
            self._timer = None
        if turn in self._idle:  # its time came before anybody woke it
            self._idle.remove(turn)

    def _wake_one(self) -> None:
        # The one that worked last: its connections are the warmest.
        if self._idle:
            self._idle.pop().notify()

    def _first(self) -> Lane | None:
        return next((lane for lane, of in self._lanes.items() if of.wait_seconds() <= 0), None)

    def _wait_seconds(self) -> float:
        return min(waiting.wait_seconds() for waiting in self._lanes.values())

    def _in_hand(self) -> set[UUID]:
        return self._held.union(*(waiting.in_hand for waiting in self._lanes.values()))
