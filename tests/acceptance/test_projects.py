"""Other packages' mails leave through the outbox, and none of them was told."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("project", ["logins"])
def test_journeys_of_another_project_succeed(project):
    """allauth's login by code, django-otp's e-mail device, and Django's password reset."""
    run = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            f"--ds=tests.projects.{project}.settings", f"tests/projects/{project}/journeys.py",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
