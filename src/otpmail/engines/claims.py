"""Which deliveries a process takes: as many as it has room for, and can send soon.

1. A row that is born leased, or claimed, goes into the schedule with the moment when it was due.
2. A process whose routes are all unavailable, or whose couriers all stand still, takes nothing and
   gives back what waits in its memory: others may be able to send it.
3. While a route that is unavailable answers again, one mail at a time finds out whether it takes
   mails.

In: an engine's holder and its schedule. Out: leases, ids in the schedule.
Knows nothing of: threads, rounds.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from uuid import UUID

from otpmail import routes
from otpmail.conf import settings
from otpmail.db import database
from otpmail.delivery import awaiting_session, leases
from otpmail.engines.claim_backoff import ClaimBackoff
from otpmail.engines.schedule import Schedule
from otpmail.models import Queue

CLAIM_LIMIT = 100
"""Rows a claim: what others could send meanwhile does not lie in this process's memory."""

STILL_SECONDS = 1.0
"""How long couriers may stand still before what waits for them is given to others."""

SESSION_SECONDS = 2.0
"""How long a mail waits for a session with a mail server before others may have it."""

PROBE_SECONDS = 0.5
"""Between two mails that find out whether an unavailable route that answers takes mails again."""


class Claims:
    """Shared by the threads of one engine. ``is_staffed`` tells whether a courier lives."""

    def __init__(
        self,
        holder: str,
        schedule: Schedule,
        *,
        patience_seconds: Callable[[], float],
        is_staffed: Callable[[], bool],
    ) -> None:
        self._holder = holder
        self._schedule = schedule
        self._patience_seconds = patience_seconds
        self._is_staffed = is_staffed
        self.backoff = ClaimBackoff()
        self._claimed_all = dict.fromkeys(Queue, True)
        self._next_probe_at = 0.0

    def room(self, queue: Queue) -> int:
        """Tell how many rows may be taken that can be sent from here soon."""
        if self._is_still(queue) or not self._is_staffed():
            return 0
        capacity = routes.capacity(queue)
        if time.monotonic() < self._next_probe_at:
            capacity = capacity if capacity == math.inf else 0
        return int(min(self.room_in_memory(queue), capacity))

    def room_in_memory(self, queue: Queue) -> int:
        """Tell how many ids the schedule takes."""
        room = settings.QUEUE_SIZE - self._schedule.count(queue)
        return 0 if self._schedule.is_closed else max(0, room)

    def take(self, queue: Queue) -> bool:
        """Take one more row, which is born leased, if there is room."""
        if self.room(queue) <= 0:
            return False
        self._took(queue)
        return True

    def claim_due(self, queue: Queue, delivery_ids: Collection[UUID] | None = None) -> None:
        """Claim what is due and nobody's, all of a queue or those, as far as there is room.

        Of a backlog no more than is sent soon; whoever ends a round asks for the next part of it.
        """
        if (room := self.room(queue)) <= 0:
            return
        is_hint = delivery_ids is not None
        limit = min(room, CLAIM_LIMIT - (0 if is_hint else self._schedule.count(queue)))
        claimed = self._claim(queue, limit=limit, only=delivery_ids) if limit > 0 else {}
        self._put(claimed, queue)
        if claimed:
            self._took(queue)
        if not is_hint:
            self._claimed_all[queue] = len(claimed) < limit

    def claim_one(self, queue: Queue, delivery_id: UUID) -> bool:
        """Claim one delivery for the calling thread, if it is due, nobody's and of this queue."""
        return self.room(queue) > 0 and bool(self._claim(queue, limit=1, only=[delivery_id]))

    def claim_dead(self, queue: Queue) -> None:
        """While nothing can be sent, claim what is past its deadline, so that it is dropped."""
        if routes.capacity(queue) < math.inf:
            self._put(self._claim(queue, limit=CLAIM_LIMIT, is_dead=True), queue)

    def may_claim_more(self) -> bool:
        """Tell whether a backlog was left, and most of its last part is done."""
        return any(
            not all_ and self._schedule.count(queue) <= CLAIM_LIMIT / 2
            for queue, all_ in self._claimed_all.items()
        )

    def give_back(self) -> None:
        """Give back what waits in memory, or for a session, and cannot be sent from here soon."""
        for queue in Queue:
            is_unavailable = routes.capacity(queue) < math.inf
            if is_unavailable or self._is_still(queue):
                self._claimed_all[queue] = False  # whoever ends a round asks for more
                self._release(self._schedule.forget(queue, due_only=not is_unavailable))
        without_session = awaiting_session.give_up(seconds=SESSION_SECONDS)
        self.backoff.add(without_session)
        self._release(without_session)  # their rounds send them no more

    def _release(self, delivery_ids: Collection[UUID]) -> None:
        if delivery_ids:
            leases.release(self._holder, only=delivery_ids)

    def _took(self, queue: Queue) -> None:
        """Note that a mail is to find out whether an unavailable route takes mails again."""
        if routes.capacity(queue) < math.inf:
            self._next_probe_at = time.monotonic() + PROBE_SECONDS

    def _is_still(self, queue: Queue) -> bool:
        seconds = self._schedule.still_seconds(queue)
        return seconds > STILL_SECONDS and seconds > 2 * routes.usual_seconds()

    def _put(self, claimed: Mapping[UUID, float], queue: Queue) -> None:
        for delivery_id, due_seconds in claimed.items():
            self._schedule.put(delivery_id, queue, -due_seconds)

    def _claim(
        self,
        queue: Queue,
        *,
        limit: int,
        only: Collection[UUID] | None = None,
        is_dead: bool = False,
    ) -> dict[UUID, float]:
        due_by = now = database.now()
        if only is None:
            due_by -= timedelta(seconds=self._patience_seconds())
        return leases.claim(
            self._holder,
            queue=queue,
            now=now,
            due_by=due_by,
            limit=limit,
            only=only,
            but=self.backoff.now() | self._schedule.in_hand(),
            is_dead=is_dead,
        )
