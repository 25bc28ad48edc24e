"""A deadline bounds a whole conversation on the monotonic clock, not each socket call by itself."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, in seconds; infinite if there is none."""

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Make the deadline that lies so many seconds ahead; ``None`` is never."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    def sooner(self, seconds: float | None) -> Deadline:
        """Make the earlier of this deadline and one so many seconds ahead."""
        return Deadline(min(self.at, Deadline.after(seconds).at))

    def left(self) -> float | None:
        """Tell the seconds left, 0 if it has passed, ``None`` if it never does."""
        return None if self.at == math.inf else max(0.0, self.at - time.monotonic())


NEVER = Deadline()
