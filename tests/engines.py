"""An engine that hears nothing: what is promised waits in its row, as after a crash."""

from collections.abc import Iterable
from uuid import UUID

from otpmail.engines import Engine
from otpmail.models import Lane


class Deaf(Engine):
    """Loses every hint."""

    def start(self) -> None:
        """Begin nothing."""

    def owner(self, lane: Lane) -> str:
        """Take nothing."""
        return ""

    def wake(self, delivery_ids: Iterable[UUID], lane: Lane) -> None:
        """Hear nothing."""

    def stop(self, seconds: float) -> None:
        """Finish nothing."""


class Broken(Deaf):
    """Cannot even say whose a row would be."""

    def owner(self, lane: Lane) -> str:
        """Find no broker."""
        raise OSError("no broker")
