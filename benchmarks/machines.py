"""What a trial runs on: database servers with a filled template, and brokers of its own.

In: a kind's name, an engine's setup. Out: a running server; the setup that leads to a broker.
Knows nothing of: faults, laws.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import mariadb, postgres, sqlite
from benchmarks.databases import TEMPLATE, Database
from benchmarks.site import Setup
from demo import machine
from demo.machine import HOST
from tests.mailserver import free_port

MEMBERS = 400
KINDS = {"postgres": postgres, "mariadb": mariadb, "sqlite": sqlite}


def is_there(kind: str) -> bool:
    """Tell whether this machine can run such a database."""
    return {
        "postgres": postgres.is_there,
        "mariadb": mariadb.is_there,
        "sqlite": lambda: True,
    }[kind]()


@contextlib.contextmanager
def database(kind: str) -> Iterator[Database]:
    """Run a server until the block ends, with a kiosk's database that has members."""
    with (
        KINDS[kind].running() as server,
        tempfile.TemporaryDirectory() as home,
    ):
        server.create(TEMPLATE)
        environment = variables(server, TEMPLATE, Path(home))
        environment["DJANGO_SETTINGS_MODULE"] = "benchmarks.projects.base"
        machine.run(["manage.py", "migrate", "--verbosity=0"], environment)
        told = machine.run(["-m", "benchmarks.members", str(MEMBERS)], environment)
        server.tokens = told.split()
        yield server


def variables(database: Database, name: str, home: Path) -> dict[str, str]:
    """Give the environment of a kiosk on a database. All have one secret, so tokens are good."""
    path = [database.python_path, os.environ.get("PYTHONPATH")]
    return {
        **os.environ,
        "SECRET_KEY": "a secret of the benchmarks, of more than fifty characters at least",
        "DATABASE_URL": database.url(name),
        "PYTHONPATH": ":".join(filter(None, path)),
        "LOG_DIR": str(home / "logs"),
        "EMAIL_HOST": HOST,
        "EMAIL_TIMEOUT": "5",
        "WEB_CONCURRENCY": "1",
        "OTPMAIL_SWEEP_SECONDS": "1",
    }


@contextlib.contextmanager
def broker(setup: Setup) -> Iterator[Setup]:
    """Run a broker that nobody else uses, and lead the setup's cable there."""
    with contextlib.ExitStack() as stack:
        if setup.broker.startswith("redis"):
            port = stack.enter_context(_redis())
            setup = replace(setup, broker=f"redis://{HOST}:{{port}}/0", broker_port=port)
        elif setup.broker.startswith("amqp"):
            host = stack.enter_context(_virtual_host())
            setup = replace(setup, broker=f"amqp://guest:guest@{HOST}:{{port}}/{host}")
        yield setup


@contextlib.contextmanager
def _redis() -> Iterator[int]:
    port = free_port()
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        ["redis-server", *options], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        machine.wait_for(port, process, Path(os.devnull))
        yield port
    finally:
        machine.kill(process)


@contextlib.contextmanager
def _virtual_host() -> Iterator[str]:
    """Make one of our own on the machine's RabbitMQ, which takes seconds to start."""
    name = f"otpmail-{secrets.token_hex(4)}"
    _rabbitmqctl("add_vhost", name)
    _rabbitmqctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
    try:
        yield name
    finally:
        _rabbitmqctl("delete_vhost", name)


def _rabbitmqctl(*command: str) -> None:
    subprocess.run(["rabbitmqctl", *command], check=True, capture_output=True)


def broker_is_there(engine: str) -> bool:
    """Tell whether this machine can run an engine's broker."""
    needed = {"celery-redis": "redis-server", "celery-rabbitmq": "rabbitmqctl"}.get(engine)
    return needed is None or shutil.which(needed) is not None
