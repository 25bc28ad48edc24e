"""``manage.py otpmail_worker``: one worker, until SIGTERM or SIGINT.

The project's checks are asked first, as of each command; on MariaDB they ask the database, so while
that does not answer they are asked again and again, and the worker waits.
"""

import logging
import signal
import threading
from pathlib import Path
from typing import Any, override

from django.core.management.base import CommandParser
from django.db import Error, connections

from otpmail.engines.worker_process import Worker
from otpmail.management.migrated import MigratedCommand
from otpmail.outcomes.describing import describe

LOOK_SECONDS = 0.5

log = logging.getLogger("otpmail.worker")


class Command(MigratedCommand):
    """Sends until it is told to end."""

    help = "Sends what is enqueued. Run as many as you like, on as many hosts as you like."
    requires_system_checks = ()  # asked in `handle`
    requires_migrations_checks = False

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--alive",
            type=Path,
            metavar="FILE",
            help="touched after each sweep that went well, while all couriers live; a file older "
            "than a minute tells an orchestrator to start the process anew",
        )

    @override
    def handle(self, *, alive: Path | None, **_: Any) -> None:
        ending = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: ending.set())
        self._check_first(ending)
        if not ending.is_set():
            log.info("Email worker started")
            Worker(alive=alive).run(ending)
        log.info("Email worker ended")

    def _check_first(self, ending: threading.Event) -> None:
        """Run the checks, and raise what they raise. Returns without an answer if it is to end."""
        said: list[BaseException | None] = []

        def ask() -> None:
            try:
                said.append(self._check_once(ending))
            finally:
                connections.close_all()

        # Apart, for the main thread hears of the end, and a database may never answer.
        asking = threading.Thread(target=ask, name="otpmail-checks", daemon=True)
        asking.start()
        while asking.is_alive() and not ending.is_set():
            asking.join(LOOK_SECONDS)
        if said and said[0] is not None:
            raise said[0]

    def _check_once(self, ending: threading.Event) -> BaseException | None:
        while not ending.is_set():
            try:
                self.check()
                self.check_migrations()
            except Error as error:
                log.warning("Email worker waits for its database: %s", describe(error))
                ending.wait(LOOK_SECONDS)
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                return error
            else:
                break
        return None
