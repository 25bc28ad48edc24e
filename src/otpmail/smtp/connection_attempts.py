"""Addresses are connected to at the same time, without threads: the first that answers is taken.

In: addresses in their order, and a deadline. Out: a connected socket, or ``None``; who failed.
Knows nothing of: names, and what was seen of an address before.
"""

import errno
import math
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from otpmail.smtp.deadlines import Deadline

NEXT_AFTER = 0.25
"""Seconds an address has before the next one is tried beside it (RFC 8305, 5)."""

MAX_ADDRESSES = 32
"""Addresses of one host that are tried; each may hold a socket."""


class Address(NamedTuple):
    """One of a host's addresses, as ``socket.getaddrinfo`` gives it."""

    family: int
    kind: int
    protocol: int
    name: str
    where: Any

    def __str__(self) -> str:
        return str(self.where[0])


class _Attempt(NamedTuple):
    address: Address
    sock: socket.socket
    began: float


class ConnectionAttempts:
    """A ``with`` block in which addresses are tried; it leaves no socket open but the one taken."""

    def __init__(self, addresses: Iterable[Address], deadline: Deadline) -> None:
        self.refused: dict[Address, OSError] = {}
        """Those that could not be connected to, and why."""
        self._waiting = deque([*addresses][:MAX_ADDRESSES])
        self._deadline = deadline
        self._poll = select.poll()  # and not epoll, which is one more file
        self._under_way: dict[int, _Attempt] = {}
        left = deadline.left()
        # A short time is shared, so that each address has its turn.
        self._pause = min(
            NEXT_AFTER, (math.inf if left is None else left) / (len(self._waiting) or 1)
        )
        self._next_at = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for attempt in self._under_way.values():
            attempt.sock.close()

    @property
    def unanswered(self) -> list[Address]:
        """Those that had not answered when the block was left."""
        return [attempt.address for attempt in self._under_way.values()]

    @property
    def silent(self) -> list[Address]:
        """Those of them that had had their time: a caller in a hurry tells nothing of them."""
        until = time.monotonic() - NEXT_AFTER
        return [attempt.address for attempt in self._under_way.values() if attempt.began <= until]

    def run(self) -> tuple[socket.socket, Address] | None:
        """Try until one answers, the time is over, or none is left. The socket does not block."""
        while (self._waiting or self._under_way) and self._deadline.left() != 0.0:
            if self._waiting and time.monotonic() >= self._next_at:
                self._begin(self._waiting.popleft())
            if self._under_way and (answered := self._wait()) is not None:
                return answered.sock, answered.address
        return None

    def _begin(self, address: Address) -> None:
        now = time.monotonic()
        self._next_at = now + self._pause
        try:
            sock = socket.socket(address.family, address.kind, address.protocol)
        except OSError as error:  # no file is left, or the family is not known here
            self._give_up(address, error)
            return
        self._under_way[sock.fileno()] = attempt = _Attempt(address, sock, now)
        sock.setblocking(False)
        # A flight is one write already; waiting for the last one's ACK would cost a round trip.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address.where)
        if code in {0, errno.EINPROGRESS}:
            self._poll.register(sock, select.POLLOUT)
        else:
            self._drop(attempt, code)

    def _wait(self) -> _Attempt | None:
        """Wait for an answer until the next attempt is due; ``None`` if none came."""
        until = self._deadline
        if self._waiting:
            until = Deadline(min(until.at, self._next_at))
        left = until.left()
        ready = self._poll.poll(None if left is None else math.ceil(left * 1000))
        files = {file for file, _ in ready}
        for attempt in [self._under_way[file] for file in self._under_way if file in files]:
            code = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return self._under_way.pop(attempt.sock.fileno())
            self._poll.unregister(attempt.sock)
            self._drop(attempt, code)
        return None

    def _drop(self, attempt: _Attempt, code: int) -> None:
        del self._under_way[attempt.sock.fileno()]
        attempt.sock.close()
        self._give_up(attempt.address, OSError(code, os.strerror(code)))

    def _give_up(self, address: Address, error: OSError) -> None:
        self.refused[address] = error
        self._next_at = -math.inf  # the next one's turn is now
