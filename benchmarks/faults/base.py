"""What a fault is: where it applies, how the site is set up, what happens when, what it may do.

A fault's class is its description; an instance is one trial of it. Class attributes say what it
asks for; `prepare` changes the stage before the site starts, `befall` does the harm and returns
when it is over, `laws` adds to those that hold everywhere.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

from benchmarks.laws import Allowance, Seen
from benchmarks.trial import Stage, Trial

BROKERS = ("celery-redis", "celery-rabbitmq", "tasks")
EMBEDDED = ("threads", "worker")
EVERY = (*EMBEDDED, *BROKERS)

UNAVAILABLE = frozenset({503})
"""What the kiosk may answer while its database does not let it write."""

START_SECONDS = 20
"""From the start of a site to its first mails."""

NO_ANSWER = frozenset({503, None})
"""And what a client sees whose connection is cut, or who waits in vain."""


class Fault(ABC):
    """One kind of harm."""

    name: ClassVar[str]
    on: ClassVar[Mapping[str, tuple[str, ...]]]
    """Databases, and the engines that are tried on each."""
    short: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Those that CI tries."""
    settings: ClassVar[str] = "benchmarks.projects.base"
    environment: ClassVar[Mapping[str, str]] = {}
    allowance: ClassVar[Allowance] = Allowance()
    rate: ClassVar[float] = 10
    """Requests a second."""
    mail_every: ClassVar[int] = 0
    """One request in so many is for other mail."""
    rests_first: ClassVar[bool] = False
    """Whether the fault itself says when the first request may come."""
    workers: ClassVar[int] = 2
    before_seconds: ClassVar[float] = 1.5
    rest_seconds: ClassVar[float] = 3
    """How long requests go on after the fault."""
    patience_seconds: ClassVar[float] = 20
    """How long a mail may wait when all is over, before it counts as lost."""

    @classmethod
    def why_not(cls) -> str:
        """Say what this machine lacks."""
        return ""

    def prepare(self, stage: Stage) -> None:  # noqa: B027 - most have nothing to change
        """Change the stage before the site starts."""

    def before(self, trial: Trial) -> None:
        """Let the site warm up: till the first mails are out, and a while longer."""
        until = time.monotonic() + START_SECONDS
        while len(trial.site.journal.read_bytes().splitlines()) < 5:
            assert time.monotonic() < until, "no mail has left the site yet"
            time.sleep(0.1)
        trial.warm_at = time.time()
        time.sleep(self.before_seconds)

    @abstractmethod
    def befall(self, trial: Trial) -> None:
        """Do the harm, and return when it is over."""

    def laws(self, trial: Trial, seen: Seen) -> Iterator[str]:  # noqa: ARG002 - for those that need it
        """Name the promises broken that only this fault is held to."""
        yield from ()


def taken_of(seen: Seen) -> dict[str, float]:
    """Give the seconds each code took from its promise, those that were taken."""
    return {
        row.message_id: seen.taken[row.message_id][0] - row.created_at
        for row in seen.deliveries.values()
        if row.message_id in seen.taken
    }
