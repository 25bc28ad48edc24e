"""The courier runs at once, in the thread that committed: for tests and shells.

A delivery that must be tried again is left in the outbox, for whichever process looks after it.
"""

from collections.abc import Iterable
from typing import override
from uuid import UUID

from otpmail.delivery import courier, holders, leases, unrecorded
from otpmail.engines.base import Engine
from otpmail.models import Lane


class ImmediateEngine(Engine):
    """Sends before the caller goes on. It has no threads, no timers and no sweep."""

    def __init__(self) -> None:
        self._owner = holders.new()

    def start(self) -> None:
        """Nothing to begin."""

    @override
    def owner(self, lane: Lane) -> str:
        """Every row is this engine's own."""
        return self._owner

    @override
    def wake(self, delivery_ids: Iterable[UUID], lane: Lane) -> None:
        """Do one round with each."""
        ids = list(delivery_ids)
        for delivery_id in ids:
            courier.run([delivery_id], self._owner)
        leases.release(self._owner, only=ids, but=unrecorded.known())

    def stop(self, seconds: float) -> None:
        """Nothing is in flight."""
