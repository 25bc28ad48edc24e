"""A process that dies by SIGKILL at its Nth step, for each N there is.

A step is a statement or a commit of the database, or a write or a read on a socket of Python's
(the mail server's). A process dies right before or right after one; after one and before the next
are the same place. Steps are found by walking: a process that comes to the end of its work without
a crash has shown that there are no more.
"""

import functools
import itertools
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created


def every_crash(act: Callable[[], object], trace: Path) -> Iterator[list[str]]:
    """Do something in one process after another, each killed one point later than the last.

    Gives the points that each came to, named by thread and step; ends after the one that lived.
    """
    for at in itertools.count(1):
        trace.write_text("")
        killed = in_child(act, _Points(at, trace))
        points = trace.read_text().splitlines()
        assert len(points) >= at or not killed
        yield points
        if not killed:
            return


def in_child(act: Callable[[], object], points: "_Points | None" = None) -> bool:
    """Do something in a forked process. Returns whether it was killed; raises if it failed."""
    connections.close_all()  # SQLite's must not cross a fork, and others' would be shared
    if (pid := os.fork()) == 0:
        _live(act, points)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "see the traceback"
    return os.WIFSIGNALED(status)


def _live(act: Callable[[], object], points: "_Points | None") -> None:
    try:
        if points is not None:
            points.watch()
        act()
    except BaseException:  # noqa: BLE001 - nothing may get back into pytest
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class _Points:
    """Counts the points that this process comes to, in all its threads, and ends it at one."""

    def __init__(self, deadly: int, trace: Path) -> None:
        self._deadly = deadly
        self._trace = trace
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self._is_between = False

    def watch(self) -> None:
        """Make a point of each end of each step from here on."""
        connection_created.connect(self._watch_database, weak=False)
        for name in ("send", "sendall", "recv", "recv_into"):
            setattr(socket.socket, name, self._around(name, getattr(socket.socket, name)))

    def _watch_database(self, *, connection: Any, **_: Any) -> None:
        def statement(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            return self._around(" ".join(sql.split())[:60], execute)(sql, *rest)

        connection.execute_wrappers[:] = [statement]
        connection.commit = self._around("COMMIT", type(connection).commit.__get__(connection))

    def _around[**P, R](self, name: str, step: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(step)
        def watched(*args: P.args, **named: P.kwargs) -> R:
            self._pass("before", name)
            result = step(*args, **named)
            self._pass("after", name)
            return result

        return watched

    def _pass(self, side: str, name: str) -> None:
        with self._lock, self._trace.open("a") as trace:
            trace.write(f"{threading.current_thread().name} {side} {name}\n")
            trace.flush()
            is_new = side == "after" or not self._is_between
            self._is_between = side == "after"
            if is_new and next(self._count) == self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)
