"""The tables as an installation gets them: by ``manage.py migrate``, in no test run.

On a database of its own, on each kind that runs here; on CI a kind that does not is a failure.
"""

import contextlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.missing import missing
from tests.workers import ROOT

RESTORE = ROOT / "docs/how-to/restore.md"
DRIVER = ROOT / ".venv" / "mariadb"
NAME = f"otpmail_migrate_{os.getpid()}"
SERVERS = {
    "postgresql": "postgres://postgres@127.0.0.1:5432/postgres",
    "mysql": "mysql://root@127.0.0.1:3306/",
}
FILL = """
from datetime import timedelta
from uuid import uuid4
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
apps = MigrationExecutor(connection).loader.project_state([("otpmail", "0001_initial")]).apps
now, later = timezone.now(), timezone.now() + timedelta(hours=1)
challenge = apps.get_model("otpmail", "Challenge").objects.create(
    purpose="x", owner="alice", recipient="alice@example.org", binding=bytes(32),
    binding_version=1, key_id="k", nonce=bytes(16), digits=6, created_at=now, expires_at=later,
    closes_at=later, resend_at=later,
)
deliveries = apps.get_model("otpmail", "Delivery").objects
for state in ("queued", "dropped"):
    settled = {{}} if state == "queued" else {{"reason": "{reason}", "settled_at": now}}
    delivery = deliveries.create(
        state=state,
        challenge=challenge, generation=1, message_id="<x@y>", created_at=now, due_at=now,
        deadline=later, **settled,
    )
    apps.get_model("otpmail", "Attempt").objects.create(
        delivery=delivery, route="default", started_at=now, took_ms=1, outcome="transient"
    )
apps.get_model("otpmail", "AuditEntry").objects.create(
    at=now, action="issued", challenge_id=challenge.id, generation=1, purpose="x",
    recipient="a***@example.org", key_id="k",
)
"""

LOOK = """
from django.db import DatabaseError, connection, transaction
def run(statement):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None
for statement in (
    "UPDATE otpmail_auditentry SET action = 'wrong'", "DELETE FROM otpmail_auditentry"
):
    try:
        run(statement)
    except DatabaseError as error:
        assert "append-only" in str(error), error
    else:
        raise AssertionError(statement)
print(*(run(f"SELECT COUNT(*) FROM otpmail_{table}") for table in ("auditentry", "delivery")))
"""

RUN = """
import sys
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute(sys.stdin.read())
"""


LOCK = """
from importlib import import_module
from django.db import connection
with connection.schema_editor() as editor:
    import_module("otpmail.migrations.0001_initial").lock(None, editor)
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The kiosk on a database that nobody has touched."""

    vendor: str
    url: str
    logs: Path

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment() | {"DATABASE_URL": self.url, "LOG_DIR": str(self.logs)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
        )

    def manage(self, *arguments: str, stdin: str = "") -> str:
        done = self.run("manage.py", *arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def shell(self, script: str, stdin: str = "") -> str:
        return self.manage("shell", "--no-imports", "-c", script, stdin=stdin)

    def fill(self, reason: str = "expired") -> None:
        self.shell(FILL.format(reason=reason))

    def locked(self) -> str:
        """See that the audit refuses; tell how many rows it and the outbox have."""
        return self.shell(LOOK)


def environment() -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
        "SECRET_KEY": "a secret that only the tests know, of more than fifty characters",
        "PYTHONPATH": os.pathsep.join([str(DRIVER), os.environ.get("PYTHONPATH", "")]),
    }


@pytest.fixture(
    params=["sqlite", *(pytest.param(vendor, marks=pytest.mark.long) for vendor in SERVERS)]
)
def fresh(request, tmp_path) -> Iterator[Installation]:
    vendor: str = request.param
    if vendor == "sqlite":
        yield Installation(vendor, f"sqlite:///{tmp_path / 'fresh.sqlite3'}", tmp_path)
        return
    with contextlib.closing(connect(vendor)) as connection:
        execute = connection.cursor().execute
        execute(f"CREATE DATABASE {NAME}")
        try:
            url = urlsplit(SERVERS[vendor])._replace(path=NAME).geturl()
            yield Installation(vendor, url, tmp_path)
        finally:
            execute(f"DROP DATABASE {NAME}")


def connect(vendor: str) -> Any:
    """Connect to the server of this kind, or say why there is none."""
    server = urlsplit(SERVERS[vendor])
    try:
        if vendor == "postgresql":
            import psycopg

            return psycopg.connect(SERVERS[vendor], autocommit=True)
        if str(DRIVER) not in sys.path:
            sys.path.append(str(DRIVER))
        import MySQLdb

        return MySQLdb.connect(host=server.hostname, port=server.port, user=server.username)
    except Exception as error:  # noqa: BLE001 - no driver, no server
        missing(f"{vendor} ({error})")


def test_from_nothing_and_back_and_forth_again(fresh):
    fresh.manage("migrate")
    fresh.manage("check", "--database", "default", "--fail-level", "WARNING")
    fresh.manage("makemigrations", "--check", "--dry-run")
    fresh.fill(reason="restored")
    assert fresh.locked() == "1 2"
    fresh.manage("migrate", "otpmail", "zero")
    fresh.manage("migrate")
    fresh.fill()
    assert fresh.locked() == "1 2"


def test_flush_empties_all_and_the_audit_is_locked_again(fresh):
    fresh.manage("migrate")
    fresh.fill()
    fresh.manage("flush", "--no-input")
    fresh.fill()
    assert fresh.locked() == "1 2"


@pytest.mark.parametrize("fresh", ["mysql"], indirect=True)
def test_triggers_that_a_failed_run_left_on_mariadb_are_laid_anew(fresh):
    fresh.manage("migrate")
    fresh.shell(RUN, stdin="DROP TRIGGER otpmail_auditentry_no_update")
    fresh.shell(
        RUN,
        stdin="CREATE TRIGGER otpmail_auditentry_no_update BEFORE update ON otpmail_auditentry "
        "FOR EACH ROW SET @nothing = 1",
    )
    fresh.shell(LOCK)
    fresh.fill()
    assert fresh.locked() == "1 2"


def test_triggers_that_a_dump_came_without_are_laid_as_the_docs_say(fresh):
    fresh.manage("migrate")
    fresh.shell(LOCK.replace("lock(", "unlock("))
    (told,) = re.findall(r"--no-imports -c '\n(.*?)'\n", RESTORE.read_text(), re.DOTALL)
    fresh.shell(inspect.cleandoc(told))
    fresh.fill()
    assert fresh.locked() == "1 2"
