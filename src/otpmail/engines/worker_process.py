"""One worker: the threads engine as a process of its own; on PostgreSQL it listens for NOTIFY.

1. The engine sweeps: it takes up what is due and nobody's, and what dead processes left.
2. On PostgreSQL a NOTIFY wakes it before the sweep would; elsewhere the sweep alone does. It
   notifies itself each second; while it does not receive that, the engine sweeps more often. It
   sweeps at once on a new connection, since what was sent before is lost.
3. Its main thread waits for the end and asks nobody for anything, so that no server can hold it.

In: a file that shows that it lives, an event that ends it. Out: rounds.
Knows nothing of: signals, command lines.
"""

import threading
from pathlib import Path

from django.db import close_old_connections

from otpmail.conf import settings
from otpmail.engines import postgres_notify
from otpmail.engines.threads import ThreadsEngine
from otpmail.runtime.loop import Loop

LISTEN_SECONDS = 0.5
"""How long it waits for a NOTIFY, and how often it sweeps while it receives none of its own."""

LOOK_SECONDS = 1.0
"""How often the main thread sees to it that all threads are there."""


class Worker:
    """Sends until it is told to end."""

    def __init__(self, *, alive: Path | None = None) -> None:
        """Take a file, touched after each sweep that went well while all couriers live."""
        self._alive = alive
        self._listener = postgres_notify.Listener()
        self._engine = ThreadsEngine(after_sweep=self._after_sweep)
        self._listening = Loop("otpmail-listen", self._listen)
        self._echo = Loop("otpmail-echo", self._notify)
        self._swept_for = 0  # connections of the listener

    def run(self, ending: threading.Event) -> None:
        """Work until the event is set, and then end within ``OTPMAIL_DRAIN_SECONDS``."""
        while not ending.is_set():
            self._engine.start()
            if postgres_notify.is_available():
                self._listening.ensure()
                self._echo.ensure()
            ending.wait(LOOK_SECONDS)
        self._engine.stop(settings.DRAIN_SECONDS)

    def _listen(self) -> float:
        received = self._listener.wait(LISTEN_SECONDS)
        if self._listener.is_deaf or self._listener.connections > self._swept_for:
            self._swept_for = self._listener.connections
            self._engine.wake()
        for queue, delivery_ids in received.items():
            self._engine.claim_due(queue, delivery_ids)
        return 0

    def _notify(self) -> float:
        try:
            self._listener.notify_itself()
        finally:
            close_old_connections()
        return postgres_notify.ECHO_SECONDS

    def _after_sweep(self) -> None:
        if self._alive is not None and self._engine.is_well:
            self._alive.touch()
