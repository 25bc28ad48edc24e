"""Where the tables are not those of this version, whoever needs them says what to do."""

import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from otpmail.outcomes.describing import describe
from tests.workers import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

REMEDY = "run manage.py migrate"

WEB_PROCESS = """
import django, time
django.setup()
from otpmail import engines
engines.current().start()
time.sleep(600)
"""

COMMANDS = {
    "otpmail_prune": [],
    "otpmail_export": ["alice@example.org"],
    "otpmail_erase": ["alice@example.org"],
    "otpmail_lift": ["alice@example.org"],
    "otpmail_after_restore": ["--drop"],
    "otpmail_key": ["--retire", "old"],
}


@pytest.fixture
def empty(tmp_path):
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3",
        "LOG_DIR": str(tmp_path),
    }


@pytest.fixture
def newest():
    """Forget that the newest migration was applied."""
    _, name = MigrationLoader(connection).graph.leaf_nodes("otpmail")[0]
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("otpmail", name)
    yield name
    recorder.record_applied("otpmail", name)


def test_a_worker_ends(empty):
    ended = subprocess.run(
        [sys.executable, "manage.py", "otpmail_worker"],
        cwd=ROOT, env=empty, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith("CommandError: otpmail's tables are not those of this version")
    assert REMEDY in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_web_process_logs_it(empty):
    process = subprocess.Popen(
        [sys.executable, "-c", WEB_PROCESS],
        cwd=ROOT, env=empty, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert any(REMEDY in line for line in process.stderr)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends(newest, command):
    with pytest.raises(CommandError, match=REMEDY) as told:
        call_command(command, *COMMANDS[command])
    assert newest in str(told.value)


def test_a_key_is_made_before_there_is_a_table(newest, capsys):
    call_command("otpmail_key")
    assert "=" in capsys.readouterr().out


@pytest.mark.parametrize(
    "query", ["SELECT 1 FROM otpmail_nothing", "SELECT not_there FROM otpmail_challenge"]
)
def test_an_error_of_a_missing_table_or_column_names_the_remedy(query):
    with pytest.raises(Error) as told, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query)
    assert describe(told.value).endswith(f"({REMEDY})")


def test_no_other_error_does():
    with pytest.raises(Error) as told, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM WHERE")
    assert REMEDY not in describe(told.value)
