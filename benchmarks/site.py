"""A kiosk with all that it needs, each part a process that can be taken away and put back.

In: an engine, a database's URL. Out: a running site, with members who are signed in.
Knows nothing of: what is asked of it, what befalls it.
"""

import contextlib
from collections.abc import Iterator
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
    """

    engine: str
    worker: tuple[str, ...] = ()
    broker: str = ""
    broker_port: int = 0


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
    "tasks": Setup(engine="otpmail.engines.tasks.TasksEngine", worker=TASKS_WORKER),
}


class Kept:
    """A process that can be taken away and put back."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        output: Path,
        port: int | None,
    ) -> None:
        self._command = command
        self._environment = environment
        self._output = output
        self._port = port
        self.process: Popen

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self.up()
        if self._port:
            machine.wait_for(self._port, self.process, self._output)
        return self

    def __exit__(self, *_: object) -> None:
        """End it politely."""
        machine.end(self.process)

    def up(self) -> None:
        """Start it."""
        self.process = machine.start(self._command, self._environment, self._output)

    def down(self) -> None:
        """Kill it and its children."""
        machine.kill(self.process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All that runs; ``journal`` is where the mail server notes what it took."""

    port: int
    tokens: list[str]
    journal: Path
    mail: Kept
    broker: Kept | None
    workers: list[Kept]
    kiosk: Kept


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
    """Run mail server, broker, kiosk and workers until the block ends."""
    ports = Ports(kiosk=free_port(), smtp=free_port(), mailbox=free_port())
    cable_port, journal = free_port(), home / "mails"
    environment = machine.prepare(
        home,
        ports,
        DJANGO_SETTINGS_MODULE=settings,
        DATABASE_URL=database_url,
        OTPMAIL_ENGINE=setup.engine,
        CELERY_BROKER_URL=setup.broker.format(port=cable_port),
        WEB_CONCURRENCY=str(web_processes),
    )
    journal.touch()
    mail = ["-m", "demo.mailserver", str(ports.smtp), str(ports.mailbox), str(journal)]
    cable = ["-m", "benchmarks.cable", str(cable_port), str(setup.broker_port)]
    names = [f"worker{number}" for number in range(workers)] if setup.worker else []
    with contextlib.ExitStack() as stack:

        def keep(name: str, command: list[str], port: int | None = None) -> Kept:
            output = home / f"{name}.out"
            return stack.enter_context(Kept(command, environment, output, port))

        yield Site(
            port=ports.kiosk,
            tokens=machine.run(["-m", "benchmarks.members", str(members)], environment).split(),
            journal=journal,
            mail=keep("mail server", mail, ports.smtp),
            broker=keep("broker", cable, cable_port) if setup.broker_port else None,
            workers=[
                keep(name, [part.format(name=name) for part in setup.worker]) for name in names
            ],
            kiosk=keep("kiosk", KIOSK, ports.kiosk),
        )
