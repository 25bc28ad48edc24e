"""The kiosk of before an upgrade: its template wants one that it does not have."""

from pathlib import Path

from benchmarks.projects.base import *  # noqa: F403

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "DIRS": [Path(__file__).parent / "templates" / "old"],
    }
]
