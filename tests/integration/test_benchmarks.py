"""The benchmarks run: at a small size, since their numbers are for a quiet machine."""

import re
import subprocess
import sys

import pytest
from django.db import connection

from tests.workers import ROOT

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="they fill PostgreSQL databases"
)


def printed(name, *size):
    """Run a benchmark. Gives what it prints."""
    server = "postgres://{USER}@{HOST}:{PORT}/postgres".format_map(connection.settings_dict)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *size, "--server", server],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_growth_prints_how_much_slower_each_step_became():
    told = printed("growth", "--sizes", "0", "300", "--rounds", "2")
    table = re.findall(r"^(\w+) +[\d.]+ +[\d.]+ +[\d.]+$", told, re.MULTILINE)
    assert table == ["request", "claim", "round", "sweep"]


def test_queries_prints_what_quotas_add_and_what_the_audit_takes():
    told = printed("queries", "--rounds", "2")
    calls = re.findall(r"^(\w+) +[\d.]+ +[\d.]+ +[\d.]+$", told, re.MULTILINE)
    assert calls == ["issue", "resend", "verify"] * 2
    assert len(re.findall(r"^  auditentry +1 ", told, re.MULTILINE)) == 6
