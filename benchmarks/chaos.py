"""Ask whether a promise is lost when all that can die does die, under load.

Requests at a steady rate, through two web processes and two workers on PostgreSQL. Each of these
processes is killed every few seconds and started anew, the mail server and the broker are down for
a while, the database crashes once. Then all is left alone until every mail is settled. The laws:

1. Every request that was answered 2xx has its mail accepted, or a reason in its row.
2. No mail is written after its deadline.
3. A mail is doubled only with an unknown outcome, or if a courier was killed after it was taken.
4. One Idempotency-Key, one transfer, however often it was asked.

Ends with status 1 if one of them is broken. ``--seed`` repeats a storm, as far as machines do.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import laws, postgres
from benchmarks.load import Load
from benchmarks.storm import Kept, Site, Storm
from demo import machine
from demo.machine import KIOSK, Ports
from tests.mailserver import free_port

WEB_PROCESSES = 2
WORKERS = 2
LOGS = machine.ROOT / "var" / "chaos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How an engine is run: its class, what starts one worker, and the broker between them.

    ``broker`` is a URL with ``{port}``, where a cable leads to the broker's own port.
    """

    engine: str
    worker: tuple[str, ...] = ()
    broker: str = ""
    broker_port: int = 0


SETUPS = {
    "threads": Setup(engine="otpmail.engines.threads.ThreadsEngine"),
    "worker": Setup(
        engine="otpmail.engines.worker.WorkerEngine", worker=("manage.py", "otpmail_worker")
    ),
}


def main() -> int:
    """Run one storm an engine. Returns the exit status."""
    options = arguments()
    names = list(SETUPS) if options.engine == "all" else [options.engine]
    kept = [keeps_its_promises(name, options) for name in names]
    return 0 if all(kept) else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=[*SETUPS, "all"], default="all")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    parser.add_argument("--outage", type=float, default=10, help="seconds of an outage")
    parser.add_argument("--life", type=float, default=5, help="seconds a process lives, about")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def keeps_its_promises(name: str, options: argparse.Namespace) -> bool:
    """Run one storm, print what was seen, and tell whether the laws held."""
    with tempfile.TemporaryDirectory() as scratch, postgres.running() as database:
        home = Path(scratch) / "site"
        ports = Ports(kiosk=free_port(), smtp=free_port(), mailbox=free_port())
        cable_port = free_port()
        environment = machine.prepare(
            home, ports, **settings_of(SETUPS[name], database.url, cable_port)
        )
        tokens = machine.run(["-m", "benchmarks.members", str(options.requests)], environment)
        load = Load(ports.kiosk, tokens.split())
        try:
            with running(SETUPS[name], home, ports, cable_port, environment) as site:
                with Storm(site, database, options) as storm:
                    load.run(options.requests, options.rate)
                laws.wait_until_settled(database.url)
        finally:
            shutil.copytree(home, LOGS / name, dirs_exist_ok=True)
        return laws.judge(name, database.url, load.asked, site.journal, storm.kills)


def settings_of(setup: Setup, database_url: str, cable_port: int) -> dict[str, str]:
    """Give the kiosk's environment, as this engine needs it."""
    return {
        "DJANGO_SETTINGS_MODULE": "benchmarks.load_settings",
        "DATABASE_URL": database_url,
        "OTPMAIL_ENGINE": setup.engine,
        "CELERY_BROKER_URL": setup.broker.format(port=cable_port),
        "WEB_CONCURRENCY": str(WEB_PROCESSES),
    }


@contextlib.contextmanager
def running(
    setup: Setup, home: Path, ports: Ports, cable_port: int, environment: dict[str, str]
) -> Iterator[Site]:
    """Run mail server, broker, kiosk and workers until the block ends."""
    journal = home / "mails"
    journal.touch()
    mail = ["-m", "demo.mailserver", str(ports.smtp), str(ports.mailbox), str(journal)]
    cable = ["-m", "benchmarks.cable", str(cable_port), str(setup.broker_port)]
    with contextlib.ExitStack() as stack:

        def keep(name: str, command: list[str], port: int | None = None) -> Kept:
            output = home / f"{name}.out"
            return stack.enter_context(Kept(name, command, environment, output, port))

        yield Site(
            journal=journal,
            mail=keep("mail server", mail, ports.smtp),
            broker=keep("broker", cable, cable_port) if setup.broker else None,
            workers=[
                keep(f"worker {n}", list(setup.worker)) for n in range(WORKERS) if setup.worker
            ],
            kiosk=keep("kiosk", KIOSK, ports.kiosk),
        )


if __name__ == "__main__":
    sys.exit(main())
