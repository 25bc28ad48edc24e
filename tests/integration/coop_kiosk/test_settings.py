"""What the kiosk reads from its environment, in a process of its own as in production."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otpmail.crypto import keys

ROOT = Path(__file__).parents[3]


@pytest.fixture
def told(tmp_path):
    """Run Python in the kiosk under an environment; give what it prints."""

    def run(*command, **environment):
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
                "DATABASE_URL": f"sqlite:///{tmp_path / 'kiosk.sqlite3'}",
                "LOG_DIR": str(tmp_path),
            }
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
    (tmp_path / "token").write_text("of the metrics\n")
    read = told(
        "-c",
        "from django.conf import settings as s;"
        "print(s.SECRET_KEY, s.MAILERS['default']['OPTIONS']['password'], dict(s.OTPMAIL_KEYS),"
        "s.OTPMAIL_METRICS_TOKEN)",
        SECRET_KEY_FILE=str(tmp_path / "secret"),
        EMAIL_HOST_PASSWORD_FILE=str(tmp_path / "password"),
        OTPMAIL_KEYS_FILE=str(tmp_path / "keys"),
        OTPMAIL_METRICS_TOKEN_FILE=str(tmp_path / "token"),
    )
    ring = {"new": new, "old": old}
    expected = f"a secret of a file of the mail server {ring} of the metrics"
    assert read.stdout.strip() == expected, read.stderr


@pytest.fixture
def production(tmp_path):
    """What an operator sets."""
    (tmp_path / "keys").write_text(f"new={keys.new()}\n")
    return {
        "SECRET_KEY": keys.new() * 2,
        "OTPMAIL_KEYS_FILE": str(tmp_path / "keys"),
        "ALLOWED_HOSTS": "kiosk.example.org",
        "OTPMAIL_BASE_URL": "https://kiosk.example.org",
        "BEHIND_TLS_PROXY": "true",
        "EMAIL_HOST": "mail.example.org",
        "EMAIL_USE_TLS": "true",
    }


DEPLOY = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")


def test_production_has_nothing_to_complain_of(told, production):
    checked = told(*DEPLOY, **production)
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("BEHIND_TLS_PROXY", "security.W004"),
        ("EMAIL_USE_TLS", "otpmail.W008"),
        ("OTPMAIL_KEYS_FILE", "otpmail.W001"),
    ],
)
def test_what_production_lacks_is_complained_of(told, production, name, complaint):
    del production[name]
    checked = told(*DEPLOY, **production)
    assert checked.returncode == 1
    assert complaint in checked.stderr


def test_without_a_secret_key_the_kiosk_does_not_start(told, production):
    del production["SECRET_KEY"]
    assert "SECRET_KEY" in told("manage.py", "check", **production).stderr
