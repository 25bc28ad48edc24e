"""Other packages' mails leave through the outbox, and none of them was told."""

import os
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


def test_djangos_own_runner_empties_the_audit_between_tests():
    """On two databases, of which one has no table of ours."""
    run = subprocess.run(
        [sys.executable, "-m", "django", "test", "--pattern=journeys.py", "tests.projects.plain"],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.projects.plain.settings"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Ran 9 tests" in run.stderr
