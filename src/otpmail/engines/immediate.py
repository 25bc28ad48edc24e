"""The courier runs at once, in the thread that committed: for tests and shells.

A delivery that must be tried again is left in the outbox, for whichever process looks after it.
"""

from collections.abc import Iterable
from typing import override
from uuid import UUID

from otpmail.delivery import courier, holders, leases, pending_writes
from otpmail.engines.base import Engine
from otpmail.models import Queue


class ImmediateEngine(Engine):
    """Sends before the caller goes on. It has no threads, no timers and no sweep."""

    def __init__(self) -> None:
        self._holder = holders.new()

    def start(self) -> None:
        """Nothing to begin."""

    @override
    def holder(self, queue: Queue) -> str:
        """Every row is this engine's own."""
        return self._holder

    @override
    def notify(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        ids = list(delivery_ids)
        for delivery_id in ids:
            courier.run([delivery_id], self._holder)
        leases.release(self._holder, only=ids, but=pending_writes.known())

    def stop(self, seconds: float) -> None:
        """Nothing is in flight."""
