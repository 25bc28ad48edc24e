"""The kiosk under gunicorn: slow clients stop nobody for long, and its files are its owner's."""

import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.mailserver import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def port(tmp_path):
    port = free_port()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/kiosk.sqlite3",
        "LOG_DIR": str(tmp_path / "logs"),
        "BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": "1",
        "WEB_THREADS": "2",
        "READ_SECONDS": "1",
        "SQLITE_SYNCHRONOUS": "NORMAL",
    }
    told = {"cwd": ROOT, "env": environment}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], **told, check=True)
    command = [sys.executable, "-m", "gunicorn", "-c", "coop_kiosk/gunicorn.conf.py"]
    process = subprocess.Popen(command, **told)
    try:
        wait_until(lambda: answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(60)


def answers(port, seconds=60):
    try:
        url = f"http://127.0.0.1:{port}/healthz"
        return httpx.get(url, timeout=seconds).status_code == 200
    except httpx.TransportError:
        return False


def test_clients_that_stop_in_the_middle_of_a_request_keep_no_thread(port):
    with ExitStack() as slow:
        for _ in range(16):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"POST /api/v1/sign-in HTTP/1.1\r\nHost: local")
        assert answers(port)


def test_database_and_log_are_their_owners_alone(port, tmp_path):
    httpx.post(
        f"http://127.0.0.1:{port}/api/v1/sign-in", json={"member_number": "1", "pin": "0000"}
    )
    files = [path for path in tmp_path.rglob("*") if "kiosk" in path.name or "log" in path.name]
    names = {path.name for path in files}
    assert {"kiosk.sqlite3", "kiosk.sqlite3-wal", "kiosk.sqlite3-shm", "django.log"} <= names
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode) & 0o077) for path in files} == (
        dict.fromkeys(names, "0o0")
    )
