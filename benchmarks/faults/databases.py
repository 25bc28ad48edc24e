"""The database drops sessions, refuses writes, stands still, or hides behind a pooler."""

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import ClassVar

from benchmarks import pooler
from benchmarks import trial as trials
from benchmarks.faults.base import EMBEDDED, EVERY, NO_ANSWER, UNAVAILABLE, Fault
from benchmarks.laws import Allowance, Seen
from benchmarks.trial import Stage, Trial

CHANNELS = ("otpmail_code", "otpmail_mail")
FLOOD = 5_000


class IdleCut(Fault):
    """The database ends all of the site's sessions, again and again."""

    name = "idle-cut"
    on = {"postgres": EVERY, "mariadb": EMBEDDED}
    short = {"postgres": ("worker",)}
    mail_every = 5
    # A session that is ended while a request uses it is a refusal of the database's.
    allowance = Allowance(statuses=UNAVAILABLE)
    times: ClassVar[int] = 4
    every_seconds: ClassVar[float] = 1.5

    def befall(self, trial: Trial) -> None:
        """End them, a few times."""
        for _ in range(self.times):
            trial.database.cut(trial.name)
            time.sleep(self.every_seconds)


class IdleLimit(Fault):
    """The database ends each session that idles for two seconds, and requests are rare."""

    name = "idle-limit"
    on = {"postgres": EMBEDDED, "mariadb": ("threads",)}
    rate = 2
    environment = {"OTPMAIL_SWEEP_SECONDS": "5"}
    # By then the limit ends what stood; nothing that is asked for is hit.
    allowance = Allowance(statuses=UNAVAILABLE, after_seconds=None, code_seconds=2)

    def befall(self, trial: Trial) -> None:
        """Set the limit, and ask for nothing twice as long."""
        with trial.database.idle_limit(trial.name, 2):
            for _ in range(2):
                trial.load.rests = True
                time.sleep(4)
                trial.load.rests = False
                time.sleep(2)


class IdleLimitSwept(IdleLimit):
    """As idle-limit, where only the sweep finds what a worker has to send."""

    name = "idle-limit-swept"
    on = {"mariadb": ("worker",)}
    environment = {"OTPMAIL_SWEEP_SECONDS": "1"}


class Restart(Fault):
    """The database server is restarted."""

    name = "restart"
    on = {"postgres": (*EMBEDDED, "tasks"), "mariadb": ("worker",)}
    allowance = Allowance(statuses=NO_ANSWER)

    def befall(self, trial: Trial) -> None:
        """Restart it twice."""
        for _ in range(2):
            trial.database.restart()
            time.sleep(1)


class ReadOnly(Fault):
    """The database refuses writes when the mail server has taken mails that wait for its answer.

    For longer than half a lease. The processes live, so nothing may be doubled.
    """

    name = "read-only"
    on = {"postgres": (*EMBEDDED, "celery-redis"), "mariadb": EMBEDDED}
    environment = {"OTPMAIL_LEASE_SECONDS": "14"}  # two in flight and ten of harm are less
    mail_every = 4
    allowance = Allowance(statuses=NO_ANSWER, after_seconds=4, backlog_seconds=12)
    lasts_seconds: ClassVar[float] = 10

    def befall(self, trial: Trial) -> None:
        """Let mails be in flight, and then refuse."""
        trial.site.delay.write_text("2")
        time.sleep(1.5)
        with self._harm(trial):
            time.sleep(1)
            trial.site.delay.unlink()
            time.sleep(self.lasts_seconds - 1)

    def _harm(self, trial: Trial) -> AbstractContextManager[None]:
        return trial.database.unwritable(trial.name)


class Stalled(ReadOnly):
    """The database lets all commits wait when the mail server has taken mails, as under a lock.

    For longer than half a lease, and on SQLite for longer than a writer waits for the lock.
    """

    name = "stalled"
    on = {"postgres": ("worker",), "mariadb": ("worker",), "sqlite": EMBEDDED}
    short = {"sqlite": ("threads",)}

    def _harm(self, trial: Trial) -> AbstractContextManager[None]:
        return trial.database.stalled(trial.name)


class Garbage(Fault):
    """Somebody else notifies the channels that workers listen on."""

    name = "garbage"
    on = {"postgres": ("worker",)}

    def befall(self, trial: Trial) -> None:
        """Send what is no id, what is somebody's, and a flood."""
        known = trial.database.rows(trial.name, "SELECT id FROM otpmail_delivery LIMIT 1")
        words = ["", "no id", "x" * 7000, "0" * 32, "é" * 36, str(known[0]["id"]), "%s{}\\x00"]
        for channel, payload in itertools.product(CHANNELS, words):
            statement = f"SELECT pg_notify('{channel}', $${payload}$$)"
            trial.database.execute(trial.name, statement)
            time.sleep(0.1)
        for channel in CHANNELS:
            flood = (
                f"SELECT pg_notify('{channel}', 'flood ' || n) FROM generate_series(1, {FLOOD}) n"
            )
            trial.database.execute(trial.name, flood)
        time.sleep(2)


class Pooler(Fault):
    """The database stands behind a pooler that gives a session for one transaction only.

    So LISTEN never delivers, and a worker has to find out.
    """

    name = "pooler"
    on = {"postgres": EMBEDDED}
    environment = {"OTPMAIL_SWEEP_SECONDS": "5"}
    allowance = Allowance(code_seconds=2)

    @classmethod
    def why_not(cls) -> str:
        """Ask for PgBouncer."""
        return "" if pooler.is_there() else "no pgbouncer (Debian: pgbouncer) on this machine"

    def prepare(self, stage: Stage) -> None:
        """Put it between."""
        port = stage.undo.enter_context(pooler.running(stage.database.port, stage.name))
        url = stage.database.url(stage.name)
        moved = url.replace(f":{stage.database.port}/", f":{port}/")
        stage.environment["DATABASE_URL"] = moved

    def befall(self, trial: Trial) -> None:  # noqa: ARG002 - it is there all the time
        """Nothing more."""
        time.sleep(8)

    def laws(self, trial: Trial, seen: Seen) -> Iterator[str]:  # noqa: ARG002
        """Each worker says once that it hears nothing."""
        for name, words in trials.logged(trial).items():
            warnings = re.findall(
                r"^.*WARNING otpmail.*(?:listen|notif).*$", words, re.IGNORECASE | re.MULTILINE
            )
            if name.startswith("worker") and len(warnings) != 1:
                yield f"warning: {name} warned {len(warnings)} times that it hears nothing"
