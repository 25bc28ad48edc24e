"""The kiosk with a template tag that raises what is no Exception, for some payees."""

from pathlib import Path

from benchmarks.projects.base import *  # noqa: F403

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "DIRS": [Path(__file__).parent / "templates" / "panic"],
        "OPTIONS": {"libraries": {"panic": "benchmarks.projects.tags"}},
    }
]
