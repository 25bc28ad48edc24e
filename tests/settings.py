"""The kiosk's settings, as the tests run it: secrets of its own, mail sent at once into memory."""

import os
import tempfile
from pathlib import Path

_scratch = tempfile.TemporaryDirectory(prefix="otpmail-tests-")  # gone when the run ends
os.environ.setdefault(
    "SECRET_KEY", "a secret that only the tests know, of more than fifty characters"
)
os.environ["LOG_DIR"] = _scratch.name  # each process's own: those of pytest-xdist inherit another's

from tests.task_settings import *  # noqa: E402, F403
from tests.task_settings import DATABASES, INSTALLED_APPS, MIDDLEWARE  # noqa: E402

# The kiosk has no admin; otpmail's pages for one are tested all the same (tests/admin_urls.py).
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "django.contrib.admin",
    "django.contrib.messages",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    *MIDDLEWARE,
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

os.umask(0o022)  # the kiosk's is stricter; Postfix and other servers of tests share files

if "sqlite3" in DATABASES["default"]["ENGINE"]:
    # A file, not memory: threads and processes of the tests share it as they would in production.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(_scratch.name) / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"] |= {
        "timeout": 60,  # for 64 writers that queue up
        # No test cuts the power; processes that are killed leave to the kernel what they wrote.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
    }
DATABASE_ROUTERS = ["tests.routers.OneAlias"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
OTPMAIL_ENGINE = "otpmail.engines.immediate.ImmediateEngine"
# Tests ask for more than people do; those of the caps themselves take these away.
OTPMAIL_OPEN_CHALLENGES = 1000
OTPMAIL_RECIPIENT_QUOTA = []
OTPMAIL_CLIENT_QUOTA = []
