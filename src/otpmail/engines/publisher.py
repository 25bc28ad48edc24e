"""A broker's publisher: one thread that publishes, and may hang in it without holding anybody.

Its only user is the dispatcher's thread, which waits for it at most `PUBLISH_SECONDS`; one that
took longer, or failed, is down until a later attempt goes through.

In: ids. Out: calls of ``publish``, all by one thread; the ids that were not published.
Knows nothing of: which broker, who sends instead.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from uuid import UUID

from django.db import close_old_connections, connections

from otpmail.conf import settings
from otpmail.models import Queue
from otpmail.outcomes import named
from otpmail.runtime.loop import Loop

PUBLISH_SECONDS = 2
"""A broker that has not taken what it was given by then counts as away."""

NO_DELIVERY = UUID(int=0)
"""Published to see whether the broker is back; a worker finds nothing under it."""

log = logging.getLogger("otpmail.engine")


@dataclass(slots=True)
class Batch:
    """Ids on their way, and how many of them have arrived."""

    queue: Queue = Queue.CODE
    ids: Sequence[UUID] = ()
    published: int = 0
    is_given_up: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class Publisher:
    """Up or down."""

    def __init__(self, publish: Callable[[UUID, Queue], None], close: Callable[[], None]) -> None:
        self._publish, self._close = publish, close
        self._inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self._last = Batch()
        self._last.done.set()
        self._ping_at = math.inf
        self._ended = threading.Event()
        self._thread = Loop("otpmail-publisher", self._step, last=self._end)
        self.is_down = False

    def __repr__(self) -> str:
        return "down" if self.is_down else "up"

    def start(self) -> None:
        """Start its thread, unless it runs."""
        self._thread.ensure()

    def publish(self, delivery_ids: Sequence[UUID], queue: Queue) -> Sequence[UUID]:
        """Publish these. Returns those that were not: all of them, at once, while it is down."""
        if self.is_down or not delivery_ids:
            return delivery_ids
        batch = self._give(Batch(queue, delivery_ids))
        if not batch.done.wait(PUBLISH_SECONDS):
            self._go_down("no answer")
        batch.is_given_up = True
        return batch.ids[batch.published :]

    def ping(self) -> None:
        """While it is down, try again now and then, and wait for nothing."""
        if self.is_down and self._last.done.is_set() and time.monotonic() >= self._ping_at:
            self._ping_at = time.monotonic() + settings.SWEEP_SECONDS
            self._give(Batch(Queue.CODE, [NO_DELIVERY]))

    def end(self, seconds: float) -> None:
        """Close the connection, unless its thread hangs."""
        self._inbox.put(None)
        self._ended.wait(seconds)

    def _give(self, batch: Batch) -> Batch:
        self._last = batch
        self._inbox.put(batch)
        return batch

    def _step(self) -> float | None:
        batch = self._inbox.get()
        if batch is None:
            return None
        try:
            self._publish_all(batch)
        except BaseException as error:  # noqa: BLE001 - whatever it is, somebody else sends
            self._go_down(named(error))
        else:
            self._come_up()
        finally:
            close_old_connections()  # before anybody is told: a broker may be a database
            batch.done.set()
        return 0

    def _end(self) -> None:
        self._close()
        connections.close_all()
        self._ended.set()

    def _publish_all(self, batch: Batch) -> None:
        for delivery_id in batch.ids:
            if batch.is_given_up:
                return
            self._publish(delivery_id, batch.queue)
            batch.published += 1

    def _go_down(self, why: str) -> None:
        if not self.is_down:
            log.warning("Email engine: the broker is away, this process sends: %s", why)
        self._ping_at = time.monotonic() + settings.SWEEP_SECONDS
        self.is_down = True

    def _come_up(self) -> None:
        if self.is_down:
            log.info("Email engine: the broker is back")
        self.is_down = False
