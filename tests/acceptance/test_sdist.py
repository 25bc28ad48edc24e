"""What is published as source is whole: its unit tests are found in it, and some are run."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOME = ["tests/unit/addresses", "tests/unit/crypto", "tests/unit/smtp/test_dialogue.py"]
BUILD = "import sys; from flit_core.buildapi import build_sdist; print(build_sdist(sys.argv[1]))"


@pytest.mark.long
def test_unit_tests_run_in_an_unpacked_sdist(tmp_path):
    built = run([sys.executable, "-c", BUILD, tmp_path], cwd=ROOT)
    assert built.returncode == 0, built.stderr
    name = built.stdout.strip().splitlines()[-1]
    with tarfile.open(tmp_path / name) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / name.removesuffix(".tar.gz")
    pytest_there = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    for tests, told in ((["--collect-only", "tests/unit"], "collected"), (SOME, "passed")):
        path = f"{home / 'src'}{os.pathsep}{home}"
        done = run([*pytest_there, *tests], cwd=home, PYTHONPATH=path)
        assert done.returncode == 0, done.stdout[-5000:]
        assert f" {told}" in done.stdout


def run(command, *, cwd, **environment):
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
