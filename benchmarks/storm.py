"""What befalls a site: processes are killed and started anew, servers are down for a while.

In: a site, a seed. Out: when which process was killed.
Knows nothing of: requests, mails, laws.
"""

import argparse
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from benchmarks.postgres import Server
from benchmarks.site import Kept, Site

type Event = tuple[float, Callable[[], object]]


class Storm:
    """Rages in a thread of its own while the block runs, and to its end."""

    def __init__(self, site: Site, database: Server, options: argparse.Namespace) -> None:
        self._site = site
        self._database = database
        self._options = options
        self._chance = random.Random(options.seed)
        self._thread = threading.Thread(target=self._rage)
        self.kills: list[float] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until it is over and all is up again."""
        self._thread.join()

    def _rage(self) -> None:
        start = time.monotonic()
        for at, befall in sorted(self._events(), key=lambda event: event[0]):
            time.sleep(max(0.0, start + at - time.monotonic()))
            befall()

    def _events(self) -> list[Event]:
        options, site = self._options, self._site
        outage: float = options.outage
        span = max(options.requests / options.rate, 2.5 * outage)
        events: list[Event] = [
            (span * 0.1, site.mail.down),
            (span * 0.1 + outage, site.mail.up),
            (span * 0.75, self._crash_database),
        ]
        if site.broker:
            events += [(span * 0.4, site.broker.down), (span * 0.4 + outage, site.broker.up)]
        for _ in range(2):
            events += [(at, self._kill_web) for at in self._ends(span)]
        for worker in site.workers:
            events += [(at, lambda worker=worker: self._kill(worker)) for at in self._ends(span)]
        return events

    def _ends(self, span: float) -> list[float]:
        """Say when a process is killed that lives so long on average."""
        ends, at = [], self._chance.expovariate(1 / self._options.life)
        while at < span:
            ends.append(at)
            at += self._chance.expovariate(1 / self._options.life)
        return ends

    def _kill_web(self) -> None:
        """Kill one of the kiosk's processes; gunicorn starts another."""
        master = self._site.kiosk.process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        if children:
            self.kills.append(time.time())
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self._chance.choice(children)), signal.SIGKILL)

    def _kill(self, worker: Kept) -> None:
        self.kills.append(time.time())
        worker.down()
        worker.up()

    def _crash_database(self) -> None:
        self._database.crash()
        self._database.start()
