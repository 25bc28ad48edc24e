"""Processes are killed, stand still, get no threads, or are told to end."""

import contextlib
import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from benchmarks import watch
from benchmarks.faults.base import EMBEDDED, EVERY, NO_ANSWER, START_SECONDS, Fault
from benchmarks.laws import Allowance, Seen
from benchmarks.trial import Stage, Trial

DRAIN_SECONDS = 10
"""`OTPMAIL_DRAIN_SECONDS`, as it comes."""

END_SECONDS = DRAIN_SECONDS + 2
PIDS = Path("/sys/fs/cgroup/pids")
GONE_SECONDS = 5

type Event = tuple[float, Callable[[], object]]


class Kills(Fault):
    """Processes are killed and started anew, servers are down, the database crashes."""

    name = "kills"
    on = {"postgres": EVERY, "mariadb": EMBEDDED, "sqlite": EMBEDDED}
    short = {"postgres": ("worker",)}
    # A mail has 15 s until its deadline, so some outages outlast it.
    environment = {"OTPMAIL_LIFE_SECONDS": "60", "OTPMAIL_LEAST_LIFE_SECONDS": "45"}
    allowance = Allowance(statuses=NO_ANSWER, lets_give_up=True, backlog_seconds=10)
    rate = 8
    span: ClassVar[float] = 12
    outage: ClassVar[float] = 3
    life: ClassVar[float] = 4
    """Seconds a process lives, about."""

    def befall(self, trial: Trial) -> None:
        """Let each event happen when it is due."""
        start = time.monotonic()
        for at, happen in sorted(self._events(trial), key=lambda event: event[0]):
            time.sleep(max(0.0, start + at - time.monotonic()))
            happen()
        time.sleep(trial.boot_seconds)  # the last one that was killed is up again

    def _events(self, trial: Trial) -> Iterator[Event]:
        site, chance, span = trial.site, random.Random(1), self.span
        yield from ((span * 0.1, site.mail.down), (span * 0.1 + self.outage, site.mail.up))
        if site.broker:
            yield from ((span * 0.4, site.broker.down), (span * 0.4 + self.outage, site.broker.up))
        if trial.database.kind != "sqlite":
            yield (span * 0.75, trial.database.crash)
            yield (span * 0.75 + 0.3, trial.database.start)
        for kept in site.kiosks:
            for at in self._ends(chance):
                yield at, lambda master=kept.process.pid: kill_child(trial, master)
        for kept in site.workers:
            for at in self._ends(chance):
                yield at, lambda kept=kept: trial.kill_and_start(kept)

    def _ends(self, chance: random.Random) -> Iterator[float]:
        """Say when a process is killed that lives so long on average."""
        at = chance.expovariate(1 / self.life)
        while at < self.span:
            yield at
            at += chance.expovariate(1 / self.life)


class Sigstop(Fault):
    """A process that sends stands still for longer than its lease, and then goes on."""

    name = "sigstop"
    on = {"postgres": EMBEDDED, "sqlite": ("worker",)}
    environment = {"OTPMAIL_LEASE_SECONDS": "6"}
    allowance = Allowance(statuses=NO_ANSWER, backlog_seconds=6)
    stands_seconds: ClassVar[float] = 9

    def befall(self, trial: Trial) -> None:
        """Stop it with mails in flight, and let it go on."""
        trial.site.delay.write_text("1")
        time.sleep(2)
        pids = senders(trial)
        stopped = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        trial.site.delay.unlink()
        time.sleep(self.stands_seconds)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        trial.stops.append((stopped, time.time()))


class Famine(Fault):
    """No thread can be started for a while: not when an engine starts, and not for a try."""

    name = "famine"
    on = {"postgres": EMBEDDED, "sqlite": ("threads",)}
    # A kiosk that answers in its main thread: only otpmail's are to be had or not.
    environment = {"GUNICORN_CMD_ARGS": "--worker-class sync", "WEB_THREADS": "1"}
    allowance = Allowance(backlog_seconds=2)
    rests_first = True
    hunger_seconds: ClassVar[float] = 6
    _group: Path

    @classmethod
    def why_not(cls) -> str:
        """Ask for a control group: its limit on threads binds root too."""
        try:
            with _control_group():
                return ""
        except OSError:
            return f"no control group can be made in {PIDS}"

    def prepare(self, stage: Stage) -> None:
        """Make the group."""
        self._group = stage.undo.enter_context(_control_group())

    def before(self, trial: Trial) -> None:
        """Put the kiosks' masters in it, and end the workers: what starts then is in it too."""
        time.sleep(START_SECONDS / 5)
        for kept in trial.site.workers:
            trial.dies(kept.process.pid)
            kept.down()
        for kept in trial.site.kiosks:
            (self._group / "cgroup.procs").write_text(str(kept.process.pid))

    def befall(self, trial: Trial) -> None:
        """Let all start with one thread for each kiosk and three for each worker; then feed them.

        A kiosk's master forks its process anew, which starts its engine before it answers.
        """
        kiosks, workers = trial.site.kiosks, trial.site.workers
        most = len(kiosks) * 3 + len(workers) * 4
        (self._group / "pids.max").write_text(str(most))
        for kept in kiosks:
            kill_child(trial, kept.process.pid)
        for kept in workers:
            kept.up()
            (self._group / "cgroup.procs").write_text(str(kept.process.pid))
        trial.load.rests = False
        time.sleep(self.hunger_seconds)
        (self._group / "pids.max").write_text("max")


@contextlib.contextmanager
def _control_group() -> Iterator[Path]:
    group = PIDS / f"otpmail-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        yield group
    finally:
        until = time.monotonic() + GONE_SECONDS
        while (group / "cgroup.procs").read_text() and time.monotonic() < until:
            time.sleep(0.05)  # who was killed is not gone at once
        group.rmdir()


class Sigterm(Fault):
    """Processes that send are told to end while the mail server takes eight seconds to answer."""

    name = "sigterm"
    on = {"postgres": EMBEDDED}
    allowance = Allowance(statuses=NO_ANSWER, after_seconds=None, backlog_seconds=10)
    rate = 1.5
    environment = {"EMAIL_TIMEOUT": "15"}  # a slow answer is one
    slow_seconds: ClassVar[float] = 8
    _took: float = 0

    def befall(self, trial: Trial) -> None:
        """Tell one to end, wait for it, and start another."""
        trial.site.delay.write_text(str(self.slow_seconds))
        time.sleep(2)
        kept = trial.sender
        self._took = ended_after(trial, kept.process)
        kept.up()
        trial.site.delay.unlink()

    def laws(self, trial: Trial, seen: Seen) -> Iterator[str]:  # noqa: ARG002
        """Hold it to its time to end."""
        if self._took > END_SECONDS:
            yield f"end: it ended {self._took:.1f} s after SIGTERM"


class FrozenStart(Fault):
    """A worker is started, and told to end, while the database answers nothing."""

    name = "sigterm-frozen"
    on = {"postgres": ("worker",)}
    environment = {"OTPMAIL_DRAIN_SECONDS": "3"}
    allowance = Allowance(statuses=NO_ANSWER, backlog_seconds=3)
    _took: float = 0

    def befall(self, trial: Trial) -> None:
        """Freeze, start, wait a while, tell it to end."""
        kept = trial.site.workers[0]
        trial.dies(kept.process.pid)
        kept.down()
        with trial.database.stalled(trial.name):
            kept.up()
            time.sleep(3)
            self._took = ended_after(trial, kept.process)
        kept.up()

    def laws(self, trial: Trial, seen: Seen) -> Iterator[str]:  # noqa: ARG002
        """Hold it to its time to end."""
        if self._took > 5:
            yield f"end: it ended {self._took:.1f} s after SIGTERM, with 3 s to drain"


def kill_child(trial: Trial, master: int) -> None:
    """Kill a kiosk's process; gunicorn starts another."""
    for child in watch.children(master)[:1]:
        trial.dies(child)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def senders(trial: Trial) -> list[int]:
    """Name the process that sends, of a kiosk the one below its master."""
    pid = trial.sender.process.pid
    return watch.children(pid) if trial.sender in trial.site.kiosks else [pid]


def ended_after(trial: Trial, process: "subprocess.Popen[bytes]") -> float:
    """Tell a process to end. Returns the seconds that it took; past twice what it may, kill it.

    This is no death: what it had in hand when it was told, it has to see to.
    """
    trial.watch.ends(process.pid)
    begun = time.monotonic()
    process.terminate()
    try:
        process.wait(timeout=2 * END_SECONDS)
    except subprocess.TimeoutExpired:
        trial.dies(process.pid)
        process.kill()
        process.wait()
    return time.monotonic() - begun
