"""An engine whose courier is whoever asks it for a round, for ``processor``."""

from collections.abc import Iterable
from uuid import UUID

from otpmail.delivery import courier, holders
from otpmail.engines import Engine
from otpmail.models import Queue


class HeldEngine(Engine):
    """Holds all rows, and sends when it is told to."""

    def __init__(self) -> None:
        self._holder = holders.new()
        self._ids: list[UUID] = []

    def start(self) -> None:
        """Begin nothing."""

    def holder(self, queue: Queue) -> str:  # noqa: ARG002
        """Take every row."""
        return self._holder

    def notify(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:  # noqa: ARG002
        """Keep ids for the next round."""
        self._ids += delivery_ids

    def stop(self, seconds: float) -> None:
        """Finish nothing."""

    def round(self) -> None:
        """Do one round with what was heard."""
        ids, self._ids = self._ids, []
        waits = courier.run(ids, self._holder).waits
        assert set(waits.values()) == {None}, waits
