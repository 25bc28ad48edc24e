"""An installation moves to another database by a fixture, and its audit stays whole and locked."""

import pytest

from tests.acceptance.test_migrate import Installation, fresh  # noqa: F401 - a fixture

WRITE = """
from otpmail import challenges
from otpmail.audit import chain
from otpmail.db import database
challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
chain.seal(now=database.now())
challenges.issue("sign-in", owner="bob", recipient="bob@example.org")
"""
LEAVE_OUT = ("-e", "contenttypes", "-e", "auth.permission")


@pytest.mark.long
@pytest.mark.parametrize("fresh", ["postgresql", "mysql"], indirect=True)
def test_from_sqlite_by_a_fixture(fresh, tmp_path):  # noqa: F811
    older = Installation("sqlite", f"sqlite:///{tmp_path / 'older.sqlite3'}", tmp_path)
    older.manage("migrate")
    older.manage("demo_data")
    older.shell(WRITE)
    fixture = str(tmp_path / "all.json")
    older.manage("dumpdata", *LEAVE_OUT, "-o", fixture)
    fresh.manage("migrate")
    fresh.manage("loaddata", fixture)
    assert "The audit is whole" in fresh.manage("otpmail_audit")
    fresh.shell(WRITE)  # and it goes on there
    assert "The audit is whole" in fresh.manage("otpmail_audit")
    fresh.locked()
