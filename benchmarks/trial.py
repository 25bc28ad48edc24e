"""One fault, one engine, one database: set a site up, let it befall, and see what became of it.

1. The site gets a copy of the template database, and all that the fault asks for.
2. Requests come at a steady rate: before the fault, while it lasts, and after it.
3. Then all is left alone until no mail waits any more, or the patience ends.

In: a fault, an engine, a database server. Out: all that was seen.
Knows nothing of: what each fault does, what is judged.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machines, report, site, watch
from benchmarks.cable import Cable, Loop
from benchmarks.databases import Database
from benchmarks.laws import Seen
from benchmarks.load import Load
from benchmarks.site import SETUPS, Kept, Site
from tests.mailserver import free_port

if TYPE_CHECKING:
    from benchmarks.faults.base import Fault


@dataclass(slots=True, kw_only=True)
class Stage:
    """What a site is set up with; a fault may change it before the site starts.

    ``own`` are the variables of single processes. ``undo`` ends what the fault started.
    """

    home: Path
    engine: str
    database: Database
    name: str
    cables: Loop
    environment: dict[str, str]
    smtp_port: int = field(default_factory=free_port)
    own: dict[str, dict[str, str]] = field(default_factory=dict)
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def sender(self) -> str:
        """Name one of the processes that send."""
        return "worker0" if SETUPS[self.engine].worker else "kiosk0"

    def lay(self, to: int, *, mark: bytes = b"") -> Cable:
        """Lay a cable to a port, which is taken away with the stage."""
        cable = self.cables.cable(free_port(), to, mark=mark)
        self.undo.callback(cable.down)
        return cable

    def mail_line(self, *processes: str) -> Cable:
        """Let these processes reach the mail server over a cable; all of them, if none is named."""
        cable = self.lay(self.smtp_port)
        for process in processes or ("kiosk0", "kiosk1", "worker0", "worker1"):
            self.own.setdefault(process, {})["EMAIL_PORT"] = str(cable.port)
        return cable


@dataclass(slots=True, kw_only=True)
class Trial:
    """A running site under a fault."""

    stage: Stage
    site: Site
    load: Load
    watch: watch.Watch
    started_at: float = field(default_factory=time.time)
    warm_at: float = 0
    began: float = 0
    over: float = 0
    kills: list[float] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)

    @property
    def database(self) -> Database:
        """The server of its database."""
        return self.stage.database

    @property
    def name(self) -> str:
        """The name of its database."""
        return self.stage.name

    @property
    def boot_seconds(self) -> float:
        """What this machine took from the site's start to its first mails."""
        return self.warm_at - self.started_at

    @property
    def sender(self) -> Kept:
        """One of the processes that send."""
        return self.named(self.stage.sender)

    def named(self, name: str) -> Kept:
        """Give a process by its name."""
        return next(
            kept for kept in (*self.site.kiosks, *self.site.workers) if kept.output.stem == name
        )

    def dies(self, pid: int) -> None:
        """Write down that a process is about to be killed."""
        self.watch.ends(pid)
        self.kills.append(time.time())

    def kill_and_start(self, kept: Kept) -> None:
        """Kill a process, and start it anew."""
        self.dies(kept.process.pid)
        kept.down()
        kept.up()

    def waiting(self) -> int:
        """Count the mails that wait."""
        return int(self.database.rows(self.name, report.WAITING)[0]["waiting"])


def run(
    fault: "Fault", engine: str, database: Database, cables: Loop, home: Path
) -> tuple[Seen, Trial]:
    """Run one trial. Returns what was seen, and the trial, whose site is gone."""
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(staged(fault, engine, database, cables, home))
        fault.prepare(stage)
        trial = stack.enter_context(running(fault, stage))
        with trial.load.steady(fault.rate):
            fault.before(trial)
            trial.began = time.time()
            fault.befall(trial)
            trial.over = time.time()
            time.sleep(fault.rest_seconds)
        wait_until_settled(trial, fault.patience_seconds)
        return report.seen(trial, fault), trial


@contextlib.contextmanager
def staged(
    fault: "Fault", engine: str, database: Database, cables: Loop, home: Path
) -> Iterator[Stage]:
    """Copy the template, and write down how the site is to run."""
    name = f"chaos_{secrets.token_hex(4)}"
    database.copy(name)
    home.mkdir(parents=True)
    environment = machines.variables(database, name, home) | dict(fault.environment)
    environment["DJANGO_SETTINGS_MODULE"] = fault.settings
    stage = Stage(
        home=home,
        engine=engine,
        database=database,
        name=name,
        cables=cables,
        environment=environment,
    )
    try:
        with stage.undo:
            yield stage
    finally:
        database.drop(name)


@contextlib.contextmanager
def running(fault: "Fault", stage: Stage) -> Iterator[Trial]:
    """Run the site until the block ends; then it is killed, since nobody judges its end."""
    with contextlib.ExitStack() as stack:
        setup = stack.enter_context(machines.broker(SETUPS[stage.engine]))
        started_at = time.time()
        here = stack.enter_context(
            site.started(
                stage.home,
                setup,
                stage.environment,
                stage.database.tokens,
                kiosks=2,
                workers=fault.workers,
                smtp_port=stage.smtp_port,
                own=stage.own,
            )
        )
        stack.callback(_kill_all, here)
        watching = stack.enter_context(watch.Watch(here, supervised=setup.supervised))
        port, *others = here.ports
        load = Load(port, here.tokens, others=others, mail_every=fault.mail_every)
        load.rests = fault.rests_first
        yield Trial(stage=stage, site=here, load=load, watch=watching, started_at=started_at)


def wait_until_settled(trial: Trial, seconds: float) -> None:
    """Leave all alone until no mail waits any more, or the patience ends."""
    until = time.monotonic() + seconds
    while trial.waiting() and time.monotonic() < until:
        time.sleep(0.2)


def logged(trial: Trial) -> Mapping[str, str]:
    """Read what each process wrote."""
    return {path.stem: path.read_text(errors="replace") for path in trial.site.home.glob("*.out")}


def _kill_all(here: Site) -> None:
    for kept in (*here.kiosks, *here.workers, here.mail, here.broker):
        if kept is not None:
            kept.down()
