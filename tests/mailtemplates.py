"""Templates of a test's own, before otpmail's."""

from typing import Any


def templates(named: dict[str, str]) -> dict[str, Any]:
    """Give the entry of ``TEMPLATES`` that finds these first, by their names."""
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                ("django.template.loaders.locmem.Loader", named),
                "django.template.loaders.app_directories.Loader",
            ]
        },
    }
