"""What a process keeps in memory: ids, each with the moment when it is due, in two queues.

1. A heap a queue is the timer: a courier sleeps until the first id is due, so no id is polled for.
2. A code that is due goes before other mail, and only so many couriers carry other mail at once.
   The rest are kept for codes, and with them a session to the mail server each.
3. What is due goes in the order in which it became due. While the oldest code has waited too long,
   there is a backlog: then three turns of four are the youngest code's, whose reader still waits,
   and the fourth is the oldest's.
4. While no courier idles, one takes several codes that are due; of other mail always one, for it
   may be large, and is not to be doubled.

In: ids, and seconds to wait. Out: the ids whose turn it is, to a courier that waits for them.
Knows nothing of: rows, rounds, how much room there is.
"""

import bisect
import heapq
import itertools
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from otpmail.models import Queue

BACKLOG_SECONDS = 1.0
"""How long the oldest code may have been due before the youngest go first."""

OLDEST_EVERY = 4
"""Of so many turns in a backlog, one is the oldest code's, so that it does not starve."""

type _Entry = tuple[float, int, UUID]
"""When an id is due (monotonic seconds), a tie-break, the id."""


@dataclass(slots=True)
class _Queue:
    """One queue. ``most`` are the couriers that may send from it at once."""

    most: int
    youngest_first: bool
    """Whether the youngest overtake in a backlog."""
    later: list[_Entry] = field(default_factory=list)  # a heap
    due: list[_Entry] = field(default_factory=list)  # sorted, the oldest first
    known: set[UUID] = field(default_factory=set)  # later, due or in hand
    in_hand: dict[UUID, float] = field(default_factory=dict)  # and when each was due
    couriers: int = 0  # that have it in hand
    turns: int = 0  # taken in a backlog
    moved_at: float = field(default_factory=time.monotonic)  # when a round last began or ended

    def wait_seconds(self) -> float:
        if self.couriers >= self.most:
            return threading.TIMEOUT_MAX
        if self.due:
            return 0.0
        return self.later[0][0] - time.monotonic() if self.later else threading.TIMEOUT_MAX

    def put(self, entry: _Entry) -> None:
        self.known.add(entry[2])
        heapq.heappush(self.later, entry)

    def ripen(self) -> None:
        """Move what has come due to what is due."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            bisect.insort(self.due, heapq.heappop(self.later))

    def take(self, most: int) -> list[UUID]:
        """Take up to so many that are due, from the end whose turn it is."""
        self.ripen()
        end = -1 if self._is_youngests_turn() else 0
        taken = [self.due.pop(end) for _ in range(min(most, len(self.due)))]
        self.in_hand.update({delivery_id: at for at, _, delivery_id in taken})
        self.couriers += 1
        self.moved_at = time.monotonic()
        return [delivery_id for _, _, delivery_id in taken]

    def forget(self, *, due_only: bool) -> list[UUID]:
        forgotten = self.due if due_only else [*self.due, *self.later]
        self.due = []
        self.later = self.later if due_only else []
        ids = [delivery_id for _, _, delivery_id in forgotten]
        self.known.difference_update(ids)
        return ids

    def _is_youngests_turn(self) -> bool:
        is_backlog = time.monotonic() - self.due[0][0] > BACKLOG_SECONDS
        if not (self.youngest_first and is_backlog):
            return False
        self.turns += 1
        return self.turns % OLDEST_EVERY != 0


class Schedule:
    """Shared by the threads of one engine; no call but `take`, `drain` and `join` waits."""

    def __init__(self, most: Mapping[Queue, int]) -> None:
        self._lock = threading.Lock()
        self._queues = {  # codes first
            queue: _Queue(most[queue], youngest_first=queue is Queue.CODE) for queue in Queue
        }
        self._order = itertools.count()
        self._again: set[UUID] = set()  # heard of while in hand
        # What is in hand, of couriers and of other threads: since when, and whose it is.
        self._begun: dict[UUID, tuple[float, object]] = {}
        self._idle: list[threading.Condition] = []  # couriers that wait, the last one warmest
        self._timer: threading.Condition | None = None  # the one of them that minds the time
        self._round_over = threading.Condition(self._lock)
        self._begin_until = 0.0
        self.is_closed = False
        self._is_drained = False

    def __repr__(self) -> str:
        known = sum(len(waiting.known) for waiting in self._queues.values())
        closed = " closed" if self.is_closed else ""
        return f"known={known} in_hand={len(self._begun)}{closed}"

    def count(self, queue: Queue) -> int:
        """Count what waits in a queue or is in hand."""
        return len(self._queues[queue].known)

    def in_hand(self) -> set[UUID]:
        """Name what is worked on now."""
        with self._lock:
            return set(self._begun)

    def still_seconds(self, queue: Queue) -> float:
        """Tell for how long no courier was free for a queue, and none began or ended a round."""
        with self._lock:
            waiting = self._queues[queue]
            if self._idle and waiting.couriers < waiting.most:
                return 0.0
            moved_at = [waiting.moved_at]
            if waiting.couriers < waiting.most:  # all carry other queues' too
                moved_at = [one.moved_at for one in self._queues.values()]
            return time.monotonic() - max(moved_at)

    def longest_in_hand_seconds(self) -> float:
        """Tell how long the oldest of the rounds under way takes already."""
        with self._lock:
            now = time.monotonic()
            return now - min((began for began, _ in self._begun.values()), default=now)

    def abandon(self, *, after_seconds: float) -> set[UUID]:
        """Take from their rounds those that have been in hand for so long. Returns their ids."""
        with self._lock:
            since = time.monotonic() - after_seconds
            stuck = {one for one, (began, _) in self._begun.items() if began <= since}
            for delivery_id in stuck:
                del self._begun[delivery_id]
                for waiting in self._queues.values():
                    waiting.in_hand.pop(delivery_id, None)
                    waiting.known.discard(delivery_id)
            return stuck

    def forget(self, queue: Queue, *, due_only: bool) -> list[UUID]:
        """Forget what is not in hand: all of a queue, or what is due. Returns the ids."""
        with self._lock:
            return self._queues[queue].forget(due_only=due_only)

    def put(self, delivery_id: UUID, queue: Queue, wait_seconds: float = 0) -> None:
        """Take an id in, due in so many seconds. One that is known already is not doubled."""
        with self._lock:
            self._put(delivery_id, self._queues[queue], wait_seconds)

    def take(self, turn: threading.Condition, *, codes: int) -> tuple[list[UUID], Queue] | None:
        """Wait for the ids whose turn it is: so many codes at most, or one other mail.

        None when the queue is closed and nothing is due. They come back by `give_back`.
        """
        with self._lock:
            while (queue := self._first()) is None:
                if self.is_closed:
                    return None
                self._wait(turn)
            if self.is_closed and time.monotonic() > self._begin_until:
                return None
            most = codes if queue is Queue.CODE and not self._idle else 1
            taken = self._queues[queue].take(most)
            self._begun.update(dict.fromkeys(taken, (time.monotonic(), turn)))
            if self._timer is None and self._wait_seconds() < threading.TIMEOUT_MAX:
                self._wake_one()
            return taken, queue

    def hold(self, delivery_id: UUID, queue: Queue) -> None:
        """Take an id in that the calling thread works on itself; it ends that by `let_go`."""
        with self._lock:
            self._queues[queue].known.add(delivery_id)
            self._begun[delivery_id] = (time.monotonic(), threading.get_ident())

    def give_back(
        self, waits: Mapping[UUID, float | None], queue: Queue, turn: threading.Condition
    ) -> None:
        """End a courier's round. Each id is forgotten, or due again in so many seconds."""
        with self._lock:
            waiting = self._queues[queue]
            waiting.couriers -= 1
            waiting.moved_at = time.monotonic()
            self._timer = None  # it minds a time without this queue, if that had no courier free
            self._end_round(waits, waiting, turn)

    def let_go(self, delivery_id: UUID, queue: Queue, wait_seconds: float | None) -> None:
        """End the round of a thread that is no courier."""
        with self._lock:
            whose = threading.get_ident()
            self._end_round({delivery_id: wait_seconds}, self._queues[queue], whose)

    def turn(self) -> threading.Condition:
        """Make what one courier waits with."""
        return threading.Condition(self._lock)

    def close(self, begin_until: float = math.inf) -> None:
        """Take nothing in any more; what is due may be taken until then (monotonic seconds)."""
        with self._lock:
            self.is_closed = True
            self._begin_until = begin_until
            while self._idle:
                self._wake_one()

    def drain(self, until: float) -> set[UUID]:
        """Wait until nothing is due or in hand, or a monotonic moment comes; forget what waits.

        Returns what is still in hand.
        """
        with self._lock:
            self._round_over.wait_for(self._is_quiet, until - time.monotonic())
            self._is_drained = True
            for waiting in self._queues.values():
                waiting.forget(due_only=False)
            return set(self._begun)

    def join(self) -> None:
        """Wait until nothing is in hand."""
        with self._lock:
            self._round_over.wait_for(lambda: not self._begun)

    def _is_quiet(self) -> bool:
        may_begin = time.monotonic() <= self._begin_until
        return not self._begun and not (may_begin and self._wait_seconds() <= 0)

    def _end_round(
        self, waits: Mapping[UUID, float | None], waiting: _Queue, whose: object
    ) -> None:
        now = time.monotonic()
        for delivery_id, wait_seconds in waits.items():
            if self._begun.get(delivery_id, (now, None))[1] != whose:
                continue  # it was abandoned, and may be in another's hand
            due_at = waiting.in_hand.pop(delivery_id, now)
            del self._begun[delivery_id]
            waiting.known.discard(delivery_id)
            wait = (wait_seconds or 0) if delivery_id in self._again else wait_seconds
            self._again.discard(delivery_id)
            if wait == 0 and not self._is_drained:  # it keeps its place
                self._push(delivery_id, waiting, due_at)
            elif wait is not None and not self.is_closed:
                self._push(delivery_id, waiting, now + wait)
        self._round_over.notify_all()

    def _put(self, delivery_id: UUID, waiting: _Queue, wait_seconds: float) -> None:
        if delivery_id in waiting.in_hand:
            self._again.add(delivery_id)
        if self.is_closed or delivery_id in waiting.known:
            return
        self._push(delivery_id, waiting, time.monotonic() + wait_seconds)

    def _push(self, delivery_id: UUID, waiting: _Queue, due_at: float) -> None:
        waiting.put((due_at, next(self._order), delivery_id))
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

    def _first(self) -> Queue | None:
        return next((queue for queue, of in self._queues.items() if of.wait_seconds() <= 0), None)

    def _wait_seconds(self) -> float:
        return min(waiting.wait_seconds() for waiting in self._queues.values())
