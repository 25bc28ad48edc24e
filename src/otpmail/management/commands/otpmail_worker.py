"""``manage.py otpmail_worker``: the threads engine as a process of its own.

1. The engine sweeps: it takes up what is due and nobody's, and what dead processes left.
2. On PostgreSQL the bell wakes it before the sweep would; elsewhere the sweep alone does.
3. SIGTERM and SIGINT end it within ``OTPMAIL_DRAIN_SECONDS``: mails in flight arrive, the rest is
   given back.
"""

import logging
import signal
import threading
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error, close_old_connections

from otpmail import bell
from otpmail.conf import settings
from otpmail.engines.threads import ThreadsEngine
from otpmail.outcomes import describe

LISTEN_SECONDS = 0.5
"""How long it listens before it looks whether it shall end."""

log = logging.getLogger("otpmail.worker")


class Command(BaseCommand):
    """Sends until it is told to end."""

    help = "Sends what is promised. Run as many as you like, on as many hosts as you like."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a file that shows that it lives."""
        parser.add_argument(
            "--alive",
            type=Path,
            metavar="FILE",
            help="touched after each sweep that went well; a file older than a few sweeps "
            "(OTPMAIL_SWEEP_SECONDS) tells an orchestrator to start the process anew",
        )

    def handle(self, *, alive: Path | None, **_: Any) -> None:
        """Work until SIGTERM or SIGINT."""
        ending = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: ending.set())
        engine = ThreadsEngine(after_sweep=alive.touch if alive else None)
        engine.start()
        log.info("Email worker started")
        _listen(engine, ending)
        engine.stop(settings.DRAIN_SECONDS)
        log.info("Email worker ended")


def _listen(engine: ThreadsEngine, ending: threading.Event) -> None:
    if not bell.is_there():
        ending.wait()
        return
    listener = bell.Listener()
    while not ending.is_set():
        try:
            for lane, delivery_ids in listener.wait(LISTEN_SECONDS).items():
                engine.take_up(lane, delivery_ids)
        except Error as error:  # meanwhile the sweep finds what is due
            log.warning("Email worker cannot listen: %s", describe(error))
            close_old_connections()
            ending.wait(1)
