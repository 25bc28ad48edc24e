"""The engine of this process.

In: ``OTPMAIL_ENGINE``. Out: one `Engine` a process, made at first use.
"""

import os
import threading
from typing import Any, cast

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from otpmail.conf import settings
from otpmail.engines.base import Engine

__all__ = ["Engine", "current"]

_lock = threading.Lock()
_current: Engine | None = None


def current() -> Engine:
    """Give this process's engine."""
    engine = _current
    return engine if engine is not None else _make()


def _make() -> Engine:
    global _current  # noqa: PLW0603 - one engine a process
    with _lock:
        if _current is None:
            _current = cast("type[Engine]", import_string(settings.ENGINE))()
        return _current


def _forget_in_child() -> None:
    # The parent's threads did not come along, and its locks may be held by them.
    global _lock, _current
    _lock, _current = threading.Lock(), None


os.register_at_fork(after_in_child=_forget_in_child)


@receiver(setting_changed)
def _replace(*, setting: str, **_: Any) -> None:
    global _current
    if setting == "OTPMAIL_ENGINE" and _current is not None:
        engine, _current = _current, None
        engine.stop(settings.DRAIN_SECONDS)
