"""The way out: a mail goes through an alias of ``MAILERS``, over a connection that stays open.

In: a mail, the seconds it may take, and a last question whether it is still wanted.
Out: an `Outcome`, or None if it was not wanted any more and nothing was written.
Knows nothing of: rows, codes, retries.

A backend with ``send_outcomes`` (otpmail's own) keeps its connections itself. Any other is held
open a thread, looked at before use, and closed after any fault so that the next mail opens it anew.
"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.signals import setting_changed
from django.dispatch import receiver

from otpmail import compat
from otpmail.conf import settings
from otpmail.outcomes import Blame, Kind, Outcome, of_error, of_sent


def send(
    alias: str, mail: EmailMessage, *, seconds: float, still_wanted: Callable[[], bool]
) -> Outcome | None:
    """Hand a mail to a route. Never raises for the mail's fate."""
    try:
        backend = _held.backend(alias)
    except Exception as error:  # noqa: BLE001 - a wrong option is the route's fault, and is recorded
        return of_error(error, sending=False)
    if hasattr(backend, "send_outcomes"):
        outcomes: list[Outcome | None] = backend.send_outcomes(
            [mail], timeout=seconds, still_wanted=still_wanted
        )
        return outcomes[0]
    return _send_through(backend, mail, still_wanted)


def warm() -> None:
    """Have connections opened ahead, so that the first mail finds one, where a backend can."""
    for alias in settings.ROUTES:
        backend = _held.backend(alias)
        if hasattr(backend, "warm"):
            backend.warm()


def close() -> None:
    """Close what this thread holds open."""
    for backend in _held.taken():
        _close(backend)


def _send_through(
    backend: BaseEmailBackend, mail: EmailMessage, still_wanted: Callable[[], bool]
) -> Outcome | None:
    try:
        if _is_stale(backend):
            _close(backend)
        backend.open()
    except Exception as error:  # noqa: BLE001 - a foreign backend may raise anything, all are outcomes
        _close(backend)
        return of_error(error, sending=False)
    if not still_wanted():  # a fault of the database is none of the route's
        return None
    try:
        sent = backend.send_messages([mail])
    except Exception as error:  # noqa: BLE001
        _close(backend)
        return of_error(error, sending=True)
    if not sent:
        _close(backend)
        return Outcome(kind=Kind.TRANSIENT, reply="the backend sent nothing", blame=Blame.ROUTE)
    return of_sent(getattr(mail, "anymail_status", None))


def _is_stale(backend: BaseEmailBackend) -> bool:
    # An SMTP server speaks only when spoken to: a kept connection that has something to read was
    # closed or is about to be (RFC 5321, 3.8 and 4.2.5: 421).
    sock = getattr(getattr(backend, "connection", None), "sock", None)
    if not isinstance(sock, socket.socket):
        return False
    poll = select.poll()  # and not select(), which knows the first 1024 files only
    try:
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


def _close(backend: BaseEmailBackend) -> None:
    with contextlib.suppress(Exception):  # what is broken may break again while it is closed
        backend.close()


class _Held(threading.local):
    """The backends that one thread holds, until ``MAILERS`` changes."""

    def __init__(self) -> None:
        self._backends: dict[str, tuple[int, Any]] = {}

    def backend(self, alias: str) -> Any:
        version, backend = self._backends.get(alias, (None, None))
        if version != _version:
            if backend is not None:
                _close(backend)
            backend = compat.mailer(alias)
            self._backends[alias] = (_version, backend)
        return backend

    def taken(self) -> list[Any]:
        backends = [backend for _, backend in self._backends.values()]
        self._backends.clear()
        return backends


_held = _Held()
_version = 0


def _forget_in_child() -> None:
    global _held  # noqa: PLW0603 - the connections are the parent's: not a word on them
    _held = _Held()


os.register_at_fork(after_in_child=_forget_in_child)


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting == "MAILERS" or setting.startswith("EMAIL_"):
        global _version  # noqa: PLW0603 - threads see at their next mail that theirs is old
        _version += 1
