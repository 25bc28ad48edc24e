"""An engine that hears nothing: what is promised waits in its row, as after a crash."""

from collections.abc import Iterable
from uuid import UUID

from otpmail.engines import Engine
from otpmail.models import Queue


class Deaf(Engine):
    """Loses every hint."""

    def start(self) -> None:
        """Begin nothing."""

    def holder(self, queue: Queue) -> str:
        """Take nothing."""
        return ""

    def notify(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        """Hear nothing."""

    def stop(self, seconds: float) -> None:
        """Finish nothing."""


class Broken(Deaf):
    """Cannot even say whose a row would be."""

    def holder(self, queue: Queue) -> str:
        """Find no broker."""
        raise OSError("no broker")


class Held(Deaf):
    """Holds what it loses."""

    def holder(self, queue: Queue) -> str:
        """Take every row."""
        return "elsewhere/1/1/held"
