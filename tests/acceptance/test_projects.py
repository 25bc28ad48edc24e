"""Other packages' mails leave through the outbox, and none of them was told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize(("project", "journeys"), [("plain", 13), ("replica", 12)])
def test_journeys_of_a_project_with_several_databases_succeed(project, journeys):
    """``plain``: one has our tables, and Django's own runner empties the audit between two tests.

    ``replica``: reads are sent to one to which nothing comes.
    """
    name = f"tests.projects.{project}"
    run = subprocess.run(
        [sys.executable, "-m", "django", "test", "--noinput", "--pattern=journeys.py", name],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": f"{name}.settings"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"Ran {journeys} tests" in run.stderr
