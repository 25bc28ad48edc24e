"""All that can misbehave does, and no promise is lost: the short form of the benchmark."""

import re
import subprocess
import sys

import pytest

from benchmarks import postgres
from demo.machine import ROOT
from tests.missing import needs

programs = needs("Debian's package postgresql", postgres.is_there)


@pytest.mark.long
@pytest.mark.alone  # a code is late if it takes two seconds more than is usual
def test_no_fault_breaks_a_promise():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--short"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ trials, promises broken: 0$", done.stdout, re.MULTILINE), done.stdout


def test_every_fault_says_what_it_is():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(re.fullmatch(r"[a-z-]+ +[A-Z].+\.", line) for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) > 20
