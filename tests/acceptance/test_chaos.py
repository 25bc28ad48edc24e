"""All that can die does die, and no promise with it: a gust of the storm that is a benchmark."""

import subprocess
import sys

import pytest

from benchmarks import postgres
from demo.machine import ROOT

pytest.importorskip("psycopg")
pytestmark = pytest.mark.skipif(
    not postgres.is_there(), reason="a PostgreSQL server's programs are not installed"
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["threads", "worker"])
def test_gust_loses_no_promise(engine):
    size = ["--requests", "40", "--rate", "8", "--outage", "2", "--life", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--engine", engine, *size],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "laws broken                            0" in done.stdout
