"""The engine of this process.

In: ``OTPMAIL_ENGINE``. Out: one `Engine` a process, made at first use and stopped at its end.
Knows nothing of: what a courier does.

``base`` is the interface of an engine, and ``enqueue`` puts a mail into its care. Engines are
``immediate``, ``threads``, ``worker`` (with ``worker_process``, the command's own), and on a
``broker`` ``celery`` and ``tasks``, which share its ``publisher``. They are made of a ``schedule``
in memory, of courier threads (``courier_step``), of the sweep's ``maintenance``, of ``claims`` with
a ``claim_backoff`` for what this process gave back, of ``postgres_notify``, and of what begins
``after_response``.
"""

import atexit
import os
import threading
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from otpmail.conf import settings
from otpmail.engines.base import Engine

__all__ = ["Engine", "become", "current", "stop"]

_lock = threading.Lock()
_current: Engine | None = None


def current() -> Engine:
    """Give this process's engine, by default the one that the settings name."""
    engine = _current
    return engine if engine is not None else become(import_string(settings.ENGINE))


def become[E: Engine](kind: type[E]) -> E:
    """Let this process have an engine of that kind: a broker's worker is no issuer."""
    global _current  # noqa: PLW0603 - one engine a process
    with _lock:
        if not isinstance(_current, kind):
            stop()
            _current = kind()
        return _current


@atexit.register
def stop() -> None:
    """Stop this process's engine, if it has one, within ``OTPMAIL_DRAIN_SECONDS``."""
    global _current  # noqa: PLW0603
    if _current is not None:
        _current.stop(settings.DRAIN_SECONDS)
        _current = None  # whoever goes on after it, as a test does, gets a new one


def _forget_in_child() -> None:
    # The parent's threads did not come along, and its locks may be held by them.
    global _lock, _current
    _lock, _current = threading.Lock(), None


os.register_at_fork(after_in_child=_forget_in_child)


@receiver(setting_changed)
def _replace(*, setting: str, **_: Any) -> None:
    if setting == "OTPMAIL_ENGINE":
        stop()
