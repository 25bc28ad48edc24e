"""The benchmarks run: at a small size, since their numbers are for a quiet machine."""

import re
import subprocess
import sys

import pytest
from django.db import connection

from tests import brokers
from tests.workers import ROOT

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="they fill PostgreSQL databases"
)


def printed_by(benchmark: str, *size: str, at: str = "--server") -> str:
    server = "postgres://{USER}@{HOST}:{PORT}/postgres".format_map(connection.settings_dict)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", *size, at, server],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_growth_prints_how_much_slower_each_step_became():
    told = printed_by("growth", "--sizes", "0", "300", "--rounds", "2")
    table = re.findall(r"^(\w+) +[\d.]+ +[\d.]+ +[\d.]+$", told, re.MULTILINE)
    assert table == ["request", "claim", "round", "sweep"]


def test_brokers_counts_every_mail_whatever_the_broker_does_and_who_sent_it():
    with brokers.redis_url() as url:
        told = printed_by("brokers", "--requests", "20", "--rate", "60", "--broker", url)
    table = re.findall(r"^(\w+) .* (\d+) +(\d+)$", told, re.MULTILINE)
    assert table == [("up", "80", "80"), ("hangs", "80", "0"), ("refuses", "80", "0")]


def test_queries_prints_what_quotas_add_and_what_the_audit_takes():
    told = printed_by("queries", "--rounds", "2")
    calls = re.findall(r"^(\w+) +[\d.]+ +[\d.]+ +[\d.]+$", told, re.MULTILINE)
    assert calls == ["issue", "resend", "verify"] * 2
    # On SQLite that of each call; PostgreSQL takes an issue's and a resend's with their challenge.
    assert len(re.findall(r"^  auditentry +1 ", told, re.MULTILINE)) == 3 + 1


def test_processor_prints_what_each_call_takes():
    told = printed_by("processor", "--rounds", "20", at="--database-url")
    calls = re.findall(r"^(.+?) +[\d.]+ +[\d.]+$", told, re.MULTILINE)
    assert [call for call in calls if "round" in call] == ["round, a code", "round, other mail"]
    assert {"issue", "resend", "status", "verify, right", "send_mail"} <= set(calls)
