"""What an engine promises: it decides when and where a courier runs, and nothing else.

The outbox is the truth, so each call here is a hint that may be lost, late or doubled. Engines do
not know one another.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from otpmail.models import Lane


class Fault(NamedTuple):
    """What keeps an engine from working, and its remedy."""

    message: str
    hint: str


class Engine(ABC):
    """One process's engine, made at first use, and once more in a forked child."""

    @classmethod
    def faults(cls) -> Iterable[Fault]:
        """Tell what is wrong with the settings that this engine needs; nothing by default."""
        return ()

    @abstractmethod
    def start(self) -> None:
        """Begin to look after the outbox. Harmless when it has begun already."""

    @abstractmethod
    def owner(self, lane: Lane) -> str | None:
        """Name the owner that a row about to be put in this lane is leased to.

        A row that is born leased goes to its courier without another write. Empty: the row is
        nobody's yet, and `wake` tells of it. None: its lane has no room, so `wake` is not called,
        and the row waits for a sweep.
        """

    @abstractmethod
    def wake(self, delivery_ids: Iterable[UUID], lane: Lane) -> None:
        """Hear that these deliveries, all of one lane, are committed.

        Never blocks on mail, and never raises.
        """

    @abstractmethod
    def stop(self, seconds: float) -> None:
        """Finish what is in flight within so many seconds and give the rest back."""
