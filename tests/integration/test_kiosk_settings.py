"""What the kiosk reads from its environment, in a process of its own as in production."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otpmail import keys

ROOT = Path(__file__).parents[2]


@pytest.fixture
def told(tmp_path):
    """Run Python in the kiosk under an environment; give what it prints."""

    def run(*command, **environment):
        kept = {name: os.environ[name] for name in ("PATH", "DATABASE_URL") if name in os.environ}
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=kept
            | {"DJANGO_SETTINGS_MODULE": "coop_kiosk.settings", "LOG_DIR": str(tmp_path)}
            | environment,
            capture_output=True,
            text=True,
        )

    return run


def test_secrets_are_read_from_files(told, tmp_path):
    """A mounted secret ends in a newline as a rule."""
    new, old = keys.new(), keys.new()
    (tmp_path / "keys").write_text(f"new={new},old={old}\n")
    (tmp_path / "secret").write_text("a secret of a file\n")
    (tmp_path / "password").write_text("of the mail server\n")
    read = told(
        "-c",
        "from django.conf import settings as s;"
        "print(s.SECRET_KEY, s.MAILERS['default']['OPTIONS']['password'], dict(s.OTPMAIL_KEYS))",
        SECRET_KEY_FILE=str(tmp_path / "secret"),
        EMAIL_HOST_PASSWORD_FILE=str(tmp_path / "password"),
        OTPMAIL_KEYS_FILE=str(tmp_path / "keys"),
    )
    expected = {"new": new, "old": old}
    assert read.stdout.strip() == f"a secret of a file of the mail server {expected}", read.stderr
