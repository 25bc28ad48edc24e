"""The benchmarks run: at a small size, since their numbers are for a quiet machine."""

import re
import subprocess
import sys

import pytest
from django.db import connection

from tests.workers import ROOT


@pytest.mark.skipif(connection.vendor != "postgresql", reason="it fills PostgreSQL databases")
def test_growth_prints_how_much_slower_each_step_became():
    server = "postgres://{USER}@{HOST}:{PORT}/postgres".format_map(connection.settings_dict)
    size = ["--sizes", "0", "300", "--rounds", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", *size, "--server", server],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    table = re.findall(r"^(\w+) +[\d.]+ +[\d.]+ +[\d.]+$", done.stdout, re.MULTILINE)
    assert table == ["request", "claim", "round", "sweep"]
