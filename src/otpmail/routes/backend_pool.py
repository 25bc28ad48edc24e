"""A backend stays open between mails: the last one used is used next, by one thread at a time.

In: an alias of ``MAILERS``. Out: its backend, acquired for a ``with`` block.
Knows nothing of: mails.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend

from otpmail.db import compat
from otpmail.routes.per_route import PerRoute


class BackendPool:
    """The open backends of one route that nobody uses just now."""

    def __init__(self, route: str) -> None:
        self.route = route
        self._idle: list[Any] = []
        self._dropped = False

    @contextlib.contextmanager
    def acquire(self) -> Iterator[Any]:
        """Acquire the warmest, or a new one, for a block. Raises what making one raises."""
        try:
            backend = self._idle.pop()
        except IndexError:
            backend = compat.mailer(self.route)
        try:
            yield backend
        finally:
            self._idle.append(backend)
            if self._dropped:
                self.close()

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread was first
                close_backend(self._idle.pop())

    def drop(self) -> None:
        """Close all; one that is in use is closed when it is released."""
        self._dropped = True
        self.close()


def close_backend(backend: BaseEmailBackend) -> None:
    """Close a backend, broken or not."""
    with contextlib.suppress(BaseException):  # what is broken may break again while it is closed
        backend.close()


def close() -> None:
    """Close what this process holds open and does not use."""
    for backends in list(backend_pools.values()):
        backends.close()


backend_pools = PerRoute(BackendPool, drop=BackendPool.drop)
