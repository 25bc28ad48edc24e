"""The interface of an engine, which decides when and where a courier runs, and nothing else.

The outbox is the truth, so each call here is a hint that may be lost, late or doubled. Engines do
not know one another.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from otpmail.models import Queue


class SettingError(NamedTuple):
    """What keeps an engine from working, and its remedy."""

    message: str
    hint: str


class Engine(ABC):
    """One process's engine, made at first use, and once more in a forked child."""

    @classmethod
    def check(cls) -> Iterable[SettingError]:
        """Tell what is wrong with the settings that this engine needs; nothing by default."""
        return ()

    @abstractmethod
    def start(self) -> None:
        """Begin to look after the outbox. Harmless when it has begun already."""

    @abstractmethod
    def holder(self, queue: Queue) -> str | None:
        """Name the holder that a row about to be put in this queue is leased to.

        A row that is born leased goes to its courier without another write. Empty: the row is
        nobody's yet, and `notify` tells of it. None: its queue has no room, so `notify` is not
        called, and the row waits for a sweep.
        """

    @abstractmethod
    def notify(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        """Take notice that these deliveries, all of one queue, are committed.

        Never blocks on mail, and never raises.
        """

    @abstractmethod
    def stop(self, seconds: float) -> None:
        """Finish what is in flight within so many seconds and give the rest back."""
