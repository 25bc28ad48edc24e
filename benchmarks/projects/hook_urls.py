"""The kiosk's URLs. With them comes the hook: models are ready when they are read."""

from itertools import count

from django.db import transaction
from django.db.models.signals import post_save

from benchmarks.projects.urls import urlpatterns
from otpmail.models import Challenge

__all__ = ["urlpatterns"]

_numbers = count()


class HookError(Exception):
    """A fault of the project's own."""


def _fail() -> None:
    raise HookError


def _watch(*, created: bool, **_: object) -> None:
    if created and next(_numbers) % 3 == 0:
        transaction.on_commit(_fail)


post_save.connect(_watch, sender=Challenge, weak=False)
