"""What is published as source is whole: its own unit tests pass in it."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from flit_core.buildapi import build_sdist; print(build_sdist(sys.argv[1]))"


@pytest.mark.long
def test_unit_tests_pass_in_an_unpacked_sdist(tmp_path):
    built = run([sys.executable, "-c", BUILD, tmp_path], cwd=ROOT)
    assert built.returncode == 0, built.stderr
    name = built.stdout.strip().splitlines()[-1]
    with tarfile.open(tmp_path / name) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / name.removesuffix(".tar.gz")
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        "tests/unit",
    ]
    done = run(tests, cwd=home, PYTHONPATH=f"{home / 'src'}{os.pathsep}{home}")
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


def run(command, *, cwd, **environment):
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
