"""A kiosk with all that it needs, each part a process that can be taken away and put back.

In: an engine, a database's URL. Out: a running site, with members who are signed in.
Knows nothing of: what is asked of it, what befalls it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from demo import machine
from demo.machine import KIOSK, Popen, Ports
from tests.mailserver import free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How an engine is run: its class, what starts one worker, and the broker between them.

    ``broker`` is a URL. With a ``broker_port`` a cable leads there, from the ``{port}`` in the URL.
    A ``supervised`` worker is not ours, and ends when it loses its database: it is started anew.
    """

    engine: str
    worker: tuple[str, ...] = ()
    broker: str = ""
    broker_port: int = 0
    supervised: bool = False


CELERY_WORKER = (
    *("-m", "celery", "-A", "coop_kiosk", "worker", "-Q", "otpmail,otpmail.mail"),
    *("-P", "threads", "-c", "8", "-l", "warning", "-n", "{name}"),
)
TASKS_WORKER = (
    *("manage.py", "db_worker", "--backend", "otpmail", "--queue-name", "*"),
    *("--interval", "0.1", "--no-startup-delay", "--no-reload"),
)
SETUPS = {
    "threads": Setup(engine="otpmail.engines.threads.ThreadsEngine"),
    "worker": Setup(
        engine="otpmail.engines.worker.WorkerEngine", worker=("manage.py", "otpmail_worker")
    ),
    "celery-redis": Setup(
        engine="otpmail.engines.celery.CeleryEngine",
        worker=CELERY_WORKER,
        broker="redis://127.0.0.1:{port}/15",
        broker_port=6379,
    ),
    "celery-rabbitmq": Setup(
        engine="otpmail.engines.celery.CeleryEngine",
        worker=CELERY_WORKER,
        broker="amqp://guest:guest@127.0.0.1:{port}//",
        broker_port=5672,
    ),
    "tasks": Setup(
        engine="otpmail.engines.tasks.TasksEngine", worker=TASKS_WORKER, supervised=True
    ),
}


class Kept:
    """A process that can be taken away and put back."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        output: Path,
        port: int | None,
    ) -> None:
        self._command = command
        self.environment = dict(environment)
        self.output = output
        self._port = port
        self.process: Popen

    def __enter__(self) -> Self:
        """Start it."""
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        """End it politely."""
        machine.end(self.process)

    def up(self) -> None:
        """Start it."""
        self.process = machine.start(self._command, self.environment, self.output)

    def wait(self) -> None:
        """Wait until it listens."""
        if self._port:
            machine.wait_for(self._port, self.process, self.output)

    def down(self) -> None:
        """Kill it and its children."""
        machine.kill(self.process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All that runs; ``journal`` is where the mail server notes what it took.

    ``delay`` is the file that makes the mail server slow to answer, if it says so many seconds.
    """

    home: Path
    ports: list[int]
    tokens: list[str]
    journal: Path
    delay: Path
    mail: Kept
    broker: Kept | None
    workers: list[Kept]
    kiosks: list[Kept]

    @property
    def port(self) -> int:
        """Where the only kiosk answers."""
        return self.ports[0]

    @property
    def kiosk(self) -> Kept:
        """The only kiosk."""
        return self.kiosks[0]


@contextlib.contextmanager
def running(
    home: Path,
    setup: Setup,
    database_url: str,
    members: int,
    *,
    web_processes: int = 2,
    workers: int = 2,
    settings: str = "benchmarks.load_settings",
) -> Iterator[Site]:
    """Run mail server, broker, kiosk and workers on an empty database until the block ends."""
    changes = {"DJANGO_SETTINGS_MODULE": settings, "WEB_CONCURRENCY": str(web_processes)}
    ports = Ports(kiosk=0, smtp=0, mailbox=0)
    environment = machine.prepare(home, ports, DATABASE_URL=database_url, **changes)
    tokens = machine.run(["-m", "benchmarks.members", str(members)], environment).split()
    with started(home, setup, environment, tokens, workers=workers) as site:
        yield site


@contextlib.contextmanager
def started(
    home: Path,
    setup: Setup,
    environment: Mapping[str, str],
    tokens: list[str],
    *,
    workers: int = 2,
    kiosks: int = 1,
    smtp_port: int | None = None,
    own: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Site]:
    """Run all on a database that is filled, until the block ends.

    ``own`` are the variables of single processes, which are named kiosk0, worker0 and so on.
    """
    smtp_port, cable_port = smtp_port or free_port(), free_port()
    journal, delay = home / "mails", home / "delay"
    journal.touch()
    common = {
        **environment,
        "OTPMAIL_ENGINE": setup.engine,
        "CELERY_BROKER_URL": setup.broker.format(port=cable_port),
        "EMAIL_PORT": str(smtp_port),
    }
    ports = [free_port() for _ in range(kiosks)]
    with contextlib.ExitStack() as stack:

        def keep(name: str, command: Sequence[str], port: int | None = None) -> Kept:
            named = [part.format(name=name) for part in command]
            bind = {"BIND": f"127.0.0.1:{port}"} if port in ports else {}
            mine = common | bind | dict((own or {}).get(name, {}))
            return stack.enter_context(Kept(named, mine, home / f"{name}.out", port))

        mail = ["-m", "benchmarks.mailserver", str(smtp_port), str(journal), str(delay)]
        cable = ["-m", "benchmarks.cable", str(cable_port), str(setup.broker_port)]
        site = Site(
            home=home,
            ports=ports,
            tokens=tokens,
            journal=journal,
            delay=delay,
            mail=keep("mailserver", mail, smtp_port),
            broker=keep("broker", cable, cable_port) if setup.broker_port else None,
            workers=[
                keep(f"worker{number}", setup.worker) for number in range(workers) if setup.worker
            ],
            kiosks=[keep(f"kiosk{number}", KIOSK, port) for number, port in enumerate(ports)],
        )
        for kept in (site.mail, site.broker, *site.kiosks):
            if kept is not None:
                kept.wait()
        yield site
