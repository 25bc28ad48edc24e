"""One worker: the threads engine as a process of its own, and on PostgreSQL an ear for the bell.

1. The engine sweeps: it takes up what is due and nobody's, and what dead processes left.
2. On PostgreSQL the bell wakes it before the sweep would; elsewhere the sweep alone does. While the
   bell is not heard, the engine sweeps more often.
3. Its main thread waits for the end and asks nobody for anything, so that no server can hold it.

In: a file that shows that it lives, an event that ends it. Out: rounds.
Knows nothing of: signals, command lines.
"""

import threading
from pathlib import Path

from otpmail import bell
from otpmail.conf import settings
from otpmail.engines.threads import ThreadsEngine
from otpmail.loop import Loop

LISTEN_SECONDS = 0.5
"""How long it waits for a ring before it looks whether it was heard itself."""

LOOK_SECONDS = 1.0
"""How often the main thread sees to it that all threads are there."""

DEAF_SWEEP_SECONDS = 0.5


class Worker:
    """Sends until it is told to end."""

    def __init__(self, *, alive: Path | None = None) -> None:
        """Take a file, touched after each sweep that went well while all couriers live."""
        self._alive = alive
        self._listener = bell.Listener()
        self._engine = ThreadsEngine(
            after_sweep=self._after_sweep, sweep_seconds=self._sweep_seconds
        )
        self._ear = Loop("otpmail-listen", self._listen)

    def run(self, ending: threading.Event) -> None:
        """Work until the event is set, and then end within ``OTPMAIL_DRAIN_SECONDS``."""
        while not ending.is_set():
            self._engine.start()
            if bell.is_there():
                self._ear.ensure()
            ending.wait(LOOK_SECONDS)
        self._engine.stop(settings.DRAIN_SECONDS)

    def _listen(self) -> float:
        for lane, delivery_ids in self._listener.wait(LISTEN_SECONDS).items():
            self._engine.take_up(lane, delivery_ids)
        return 0

    def _after_sweep(self) -> None:
        if self._alive is not None and self._engine.is_well:
            self._alive.touch()
        self._listener.ring_itself()

    def _sweep_seconds(self) -> float:
        seconds = settings.SWEEP_SECONDS
        return min(seconds, DEAF_SWEEP_SECONDS) if self._listener.is_deaf else seconds
