"""``manage.py otpmail_worker``: one worker, until SIGTERM or SIGINT."""

import logging
import signal
import threading
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from otpmail.engines.process import Worker

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
            help="touched after each sweep that went well, while all couriers live; a file older "
            "than some sweeps (OTPMAIL_SWEEP_SECONDS) tells an orchestrator to start it anew",
        )

    def handle(self, *, alive: Path | None, **_: Any) -> None:
        """Work until SIGTERM or SIGINT."""
        ending = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: ending.set())
        log.info("Email worker started")
        Worker(alive=alive).run(ending)
        log.info("Email worker ended")
