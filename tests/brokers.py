"""Real brokers, each test run's own, and the real worker processes that hang on them."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coop_kiosk import celery_app
from demo import machine
from otpmail.engines import tasks  # noqa: F401 - declared under the kind of backend that asks for it
from tests.mailserver import free_port
from tests.missing import missing
from tests.workers import Popen, database_url, worker

CELERY = "otpmail.engines.celery.CeleryEngine"
TASKS = "otpmail.engines.tasks.TasksEngine"
HOST = "127.0.0.1"
START_SECONDS = 120


@contextlib.contextmanager
def running(kind: str, smtp_port: int, home: Path) -> Iterator[dict[str, Any]]:
    """Run what a kind of engine hangs on. Gives the settings that lead there."""
    match kind:
        case "immediate" | "threads":
            engine = f"otpmail.engines.{kind}.{kind.title()}Engine"
            yield {"OTPMAIL_ENGINE": engine, "OTPMAIL_SWEEP_SECONDS": 0.1}
        case "worker":
            with worker(smtp_port, home, OTPMAIL_SWEEP_SECONDS="0.1"):
                yield {"OTPMAIL_ENGINE": "otpmail.engines.worker.WorkerEngine"}
        case "celery-redis" | "celery-rabbitmq":
            broker = redis_url if kind == "celery-redis" else rabbitmq_url
            with broker() as url, celery_worker(url, smtp_port, home):
                yield celery_settings(url)
        case "tasks-db":
            with db_worker(smtp_port, home):
                yield {"OTPMAIL_ENGINE": TASKS, "OTPMAIL_SWEEP_SECONDS": 1}
        case "tasks-rq":
            with redis_url() as url, rq_worker(url, smtp_port, home):
                yield rq_settings(url)


def celery_settings(url: str) -> dict[str, Any]:
    """Lead this process's Celery app to a broker."""
    celery_app.conf.broker_url = url
    return {"OTPMAIL_ENGINE": CELERY}


def rq_settings(url: str) -> dict[str, Any]:
    """Lead this process's tasks to a Redis."""
    queues = ["otpmail", "otpmail.mail"]
    backend = {"BACKEND": "django_tasks_rq.RQBackend", "QUEUES": queues}
    return {
        "OTPMAIL_ENGINE": TASKS,
        "OTPMAIL_SWEEP_SECONDS": 1,
        "TASKS": {"otpmail": backend},
        "RQ_QUEUES": {queue: {"URL": url} for queue in queues},
    }


@contextlib.contextmanager
def redis_server(port: int) -> Iterator[Popen]:
    """Run a Redis of our own until the block ends, which may kill it."""
    if not shutil.which("redis-server"):
        missing("redis-server (Debian: redis-server)")
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
    command, quiet = ["redis-server", *options], subprocess.DEVNULL
    with ended(subprocess.Popen(command, stdout=quiet, start_new_session=True)) as process:
        wait_for_port(port, process)
        yield process


@contextlib.contextmanager
def redis_url() -> Iterator[str]:
    """Run a Redis on a free port."""
    port = free_port()
    with redis_server(port):
        yield f"redis://{HOST}:{port}/0"


@contextlib.contextmanager
def rabbitmq_url() -> Iterator[str]:
    """Make a virtual host of our own on the machine's RabbitMQ."""
    name = f"otpmail-{secrets.token_hex(4)}"
    if not _rabbitmqctl("add_vhost", name):
        missing("a RabbitMQ on this machine that rabbitmqctl may change")
    _rabbitmqctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
    try:
        yield f"amqp://guest:guest@{HOST}:5672/{name}"
    finally:
        _rabbitmqctl("delete_vhost", name)


def _rabbitmqctl(*command: str) -> bool:
    if not shutil.which("rabbitmqctl"):
        return False
    return subprocess.run(["rabbitmqctl", *command], capture_output=True).returncode == 0


@contextlib.contextmanager
def celery_worker(
    url: str,
    smtp_port: int,
    home: Path,
    *,
    pool: str = "threads",
    queues: str = "otpmail,otpmail.mail",
    sweep_seconds: float = 0.5,
) -> Iterator[Popen]:
    """Run one until the block ends; it takes messages when the block begins."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
        "OTPMAIL_ENGINE": CELERY,
        "CELERY_BROKER_URL": url,
        "OTPMAIL_SWEEP_SECONDS": str(sweep_seconds),
    }
    command = ["-m", "celery", "-A", "coop_kiosk", "worker", "-Q", queues]
    command += ["-P", pool, "-c", "4", "-n", home.name]
    with _worker(command, environment, smtp_port, home, ready="ready.") as process:
        yield process


@contextlib.contextmanager
def db_worker(smtp_port: int, home: Path) -> Iterator[Popen]:
    """Run the worker of django-tasks-db."""
    command = ["manage.py", "db_worker", "--backend", "otpmail", "--queue-name", "*"]
    command += ["--interval", "0.1", "--no-startup-delay", "--no-reload"]
    environment = {"DJANGO_SETTINGS_MODULE": "tests.task_settings"}
    with _worker(command, environment, smtp_port, home, ready="Starting worker") as process:
        yield process


@contextlib.contextmanager
def rq_worker(url: str, smtp_port: int, home: Path) -> Iterator[Popen]:
    """Run the worker of RQ, which forks for each task."""
    command = ["manage.py", "rqworker", "otpmail", "otpmail.mail", "--with-scheduler"]
    command += ["--job-class", "django_tasks_rq.Job"]
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.task_settings",
        "TASKS_BACKEND": "django_tasks_rq.RQBackend",
        "RQ_URL": url,
    }
    with _worker(command, environment, smtp_port, home, ready="Listening on") as process:
        yield process


@contextlib.contextmanager
def _worker(
    command: list[str], environment: dict[str, str], smtp_port: int, home: Path, *, ready: str
) -> Iterator[Popen]:
    home.mkdir()
    told = home / "out"
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "EMAIL_HOST": HOST,
        "EMAIL_PORT": str(smtp_port),
        "LOG_DIR": str(home),
        **environment,
    }
    with ended(machine.start(command, environment, told)) as process:
        until = time.monotonic() + START_SECONDS
        while ready not in told.read_text():
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < until, told.read_text()
            time.sleep(0.05)
        yield process


@contextlib.contextmanager
def ended(process: Popen) -> Iterator[Popen]:
    """Let a process end with the block: politely, then not."""
    try:
        yield process
    finally:
        machine.end(process)


def wait_for_port(port: int, process: Popen) -> None:
    """Wait until something listens."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "it ended"
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.02)
    pytest.fail(f"nothing listens on port {port}")
