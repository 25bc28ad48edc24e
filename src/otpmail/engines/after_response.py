"""What a request sets off in this process begins when its response has been written.

1. In a thread that handles a request, an act waits for `request_finished`, which WSGI and ASGI
   servers let Django send when the last byte is written. In any other thread it is done at once.
2. The sweep does what still waits: a response may take long, or its end may never be told.

In: acts, which never raise. Out: each done once, in that thread or in the sweep's.
Knows nothing of: what is done.

A courier that begins at the commit competes for the interpreter with the very response of the
request that enqueued its mail. Django handles a request in one thread under ASGI too, in which its
database connections are: each request has an `asgiref.sync.ThreadSensitiveContext`.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from django.core.signals import request_finished, request_started
from django.dispatch import receiver

MOST = 1000
"""Acts that wait at once; what is over is done at once."""

type Act = Callable[[], object]


class _Thread(threading.local):
    handles_request = False


_thread = _Thread()
_lock = threading.Lock()
_waiting: list[tuple[int, Act]] = []


def call(act: Act) -> None:
    """Do it when this thread's response has been written."""
    with _lock:
        waits = _thread.handles_request and len(_waiting) < MOST
        if waits:
            _waiting.append((threading.get_ident(), act))
    if not waits:
        act()


def call_all() -> None:
    """Do all that waits, whosever it is."""
    _do(lambda _: True)


@receiver(request_started)
def _begin(**_: Any) -> None:
    _end()  # of a request whose end was never told
    _thread.handles_request = True


@receiver(request_finished)
def _end(**_: Any) -> None:
    _thread.handles_request = False
    mine = threading.get_ident()
    _do(lambda whose: whose == mine)


def _do(is_due: Callable[[int], bool]) -> None:
    with _lock:
        due = [act for whose, act in _waiting if is_due(whose)]
        _waiting[:] = [(whose, act) for whose, act in _waiting if not is_due(whose)]
    for act in due:
        act()


def _forget_in_child() -> None:
    # The parent does them; its lock may be held by a thread that did not come along.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _waiting.clear()


os.register_at_fork(after_in_child=_forget_in_child)
