"""Ids go to a broker, and workers elsewhere send; while the broker is away, this process does.

1. A row is born nobody's. Its id is put in memory at commit, or when the response has been written
   of the request that enqueued it (``after_response``).
2. The dispatcher, a thread that never talks to the broker, gives ids to the publisher, a thread
   that does.
3. What the publisher did not publish in time goes to couriers of this process, which claim it.
   From then on the broker counts as away, and ids go to them at once.
4. While it is away, each sweep publishes an id that no delivery has, to see whether it is back.
5. The sweep of this process takes what workers left lying for two sweeps; while the broker is
   away, all that is due.

In: ids. Out: messages that hold an id and nothing else.
Knows nothing of: which broker.
"""

import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from typing import override
from uuid import UUID

from django.db import close_old_connections, connections

from otpmail.conf import settings
from otpmail.engines import after_response
from otpmail.engines.base import Engine
from otpmail.engines.publisher import PUBLISH_SECONDS, Publisher
from otpmail.engines.threads import ThreadsEngine
from otpmail.models import Queue
from otpmail.runtime.loop import Loop

BATCH = 100
"""Ids given to the publisher at a time."""

BROKER_QUEUES = {Queue.CODE: "otpmail", Queue.MAIL: "otpmail.mail"}
"""What a broker's queues are called, so that workers can be kept for codes."""


class BrokerEngine(Engine):
    """Gives ids away where it can, and sends itself where it cannot."""

    def __init__(self) -> None:
        self._couriers = ThreadsEngine(patience_seconds=self._patience_seconds)
        self._publisher = Publisher(self._publish, self._close)
        self._news = threading.Condition()
        self._waiting: dict[Queue, deque[UUID]] = {queue: deque() for queue in Queue}  # codes first
        self._stopping = False
        self._dispatched = threading.Event()
        self._dispatcher = Loop("otpmail-dispatcher", self._step, last=self._end)

    def __repr__(self) -> str:
        waiting = sum(map(len, self._waiting.values()))
        return f"<{type(self).__name__} {self._publisher} waiting={waiting} {self._couriers}>"

    @abstractmethod
    def _publish(self, delivery_id: UUID, queue: Queue) -> None:
        """Give one id to the broker or raise. One thread calls it, which may hang in it."""

    def _close(self) -> None:
        """Close what `_publish` opened; the same thread calls it."""

    def start(self) -> None:
        """Start dispatcher, publisher, couriers. Never raises; a missing thread comes later."""
        if not self._dispatcher.is_alive and not self._stopping:
            self._couriers.start()
            self._publisher.start()
            self._dispatcher.ensure()

    @override
    def holder(self, queue: Queue) -> str:
        """Leave each row to whoever claims it first."""
        self.start()
        return ""

    def notify(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        """Put ids in memory, as far as there is room; the rest waits for a sweep."""
        self.start()
        ids = list(delivery_ids)
        after_response.call(lambda: self._put(ids, queue))

    def stop(self, seconds: float) -> None:
        """Publish what waits, or send it; what is left is nobody's already."""
        until = time.monotonic() + seconds
        after_response.call_all()
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._dispatcher.is_alive:
            self._dispatched.wait(seconds / 2)  # the other half is for mails in flight
        self._couriers.stop(max(0.0, until - time.monotonic()))

    def _put(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        with self._news:
            waiting = self._waiting[queue]
            waiting.extend(islice(delivery_ids, settings.QUEUE_SIZE - len(waiting)))
            self._news.notify()

    def _patience_seconds(self) -> float:
        return 0 if self._publisher.is_down else 2 * settings.SWEEP_SECONDS

    def _step(self) -> float | None:
        if self._stopping and not any(self._waiting.values()):
            return None
        self._couriers.start()
        self._publisher.start()
        queue, delivery_ids = self._next()
        if left := self._publisher.publish(delivery_ids, queue):
            self._send_here(left, queue)
        self._publisher.ping()
        return 0

    def _end(self) -> None:
        self._publisher.end(PUBLISH_SECONDS)
        connections.close_all()
        self._dispatched.set()

    def _next(self) -> tuple[Queue, list[UUID]]:
        with self._news:
            self._news.wait_for(self._has_news, settings.SWEEP_SECONDS)
            queue = next((queue for queue in Queue if self._waiting[queue]), Queue.CODE)
            waiting = self._waiting[queue]
            return queue, [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]

    def _has_news(self) -> bool:
        return self._stopping or any(self._waiting.values())

    def _send_here(self, delivery_ids: Collection[UUID], queue: Queue) -> None:
        try:
            self._couriers.claim_due(queue, delivery_ids)
        finally:
            close_old_connections()
