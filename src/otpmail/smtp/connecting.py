"""All of a host's addresses are tried, one soon after the other; the first that answers is taken.

In: host, port, and the time there is. Out: a connected socket, or a `WireError` that tells of all.
Knows nothing of: SMTP, TLS.

This is Happy Eyeballs (RFC 8305) without threads: an address that swallows what is sent to it, as
where IPv6 is broken, costs a quarter of a second and not the whole time-out, and less after that,
for what answered is remembered. Names are asked of ``socket.getaddrinfo``.
"""

import functools
import math
import socket
import time
from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from typing import Any

from otpmail.smtp.connection_attempts import Address, ConnectionAttempts
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import BrokenError, InPhase, Phase, TimedOutError
from otpmail.smtp.resolving import resolver

REMEMBERED = 600.0
"""Seconds for which what answered is tried first, and what did not last. Then the resolver's order
holds again: it knows better, or the network was mended."""

MAX_REMEMBERED = 1024

HURRIED_SECONDS = 0.5
"""For a new connection, right after an old one turned out to lead nowhere: the whole path may be
gone, and the mail has another route."""

HURRIED_FOR_SECONDS = 1.0


class Memory:
    """Which addresses of a host answered and which did not, for ten minutes each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # No lock: one would not survive a fork.
        self._answered: dict[tuple[str, int, Any], float] = {}
        self._silent: dict[tuple[str, int, Any], float] = {}
        self._lost: dict[tuple[str, int], float] = {}

    def sort(self, host: str, port: int, addresses: Iterable[Address]) -> list[Address]:
        """Put first what answered last, and last what did not; the rest stays in its order."""
        oldest = self._clock() - REMEMBERED

        def rank(address: Address) -> tuple[int, float]:
            key = (host, port, address.where)
            if self._silent.get(key, -math.inf) > oldest:
                return 2, 0.0
            answered = self._answered.get(key, -math.inf)
            return (0, -answered) if answered > oldest else (1, 0.0)

        return sorted(addresses, key=rank)

    def answered(self, host: str, port: int, address: Address) -> None:
        """Remember that an address answered; not anew while that is remembered."""
        key, now = (host, port, address.where), self._clock()
        self._silent.pop(key, None)
        if self._answered.get(key, -math.inf) <= now - REMEMBERED:
            self._keep(self._answered, key, now)

    def failed(self, host: str, port: int, address: Address) -> None:
        """Remember that an address refused, or swallowed what it was sent."""
        key = (host, port, address.where)
        self._answered.pop(key, None)
        self._keep(self._silent, key, self._clock())

    def lost(self, host: str, port: int) -> None:
        """Remember that a connection led nowhere any more."""
        self._keep(self._lost, (host, port), self._clock())

    def limit(self, host: str, port: int, limit: float) -> float:
        """Tell how long a connection may take: not long, right after one was lost."""
        is_late = self._clock() - self._lost.get((host, port), -math.inf) > HURRIED_FOR_SECONDS
        return limit if is_late else min(limit, HURRIED_SECONDS)

    def clear(self) -> None:
        """Forget all."""
        self._answered.clear()
        self._silent.clear()
        self._lost.clear()

    @staticmethod
    def _keep[K](times: dict[K, float], key: K, now: float) -> None:
        if len(times) >= MAX_REMEMBERED:
            times.clear()
        times[key] = now


memory = Memory()
"""This process's memory."""


def connect(host: str, port: int, *, limit: float, deadline: Deadline) -> socket.socket:
    """Connect to the first of a host's addresses that answers.

    The name's look-up and all attempts together take ``limit`` seconds at most. Raises
    `TimedOutError` if somebody was still silent then, `BrokenError` if the name is not known or all
    its addresses refused. The socket does not block; no other is left open.
    """
    step = deadline.sooner(memory.limit(host, port, limit))
    with InPhase(Phase.CONNECT):
        found = _look_up(host, port, step)
        with ConnectionAttempts(memory.sort(host, port, interleaved(found)), step) as attempts:
            taken = attempts.run()
            failed = [*attempts.silent, *attempts.refused]
    for address in failed:
        memory.failed(host, port, address)
    if taken is None:
        raise _failure(attempts, is_over=step.left() == 0.0)
    sock, address = taken
    memory.answered(host, port, address)
    return sock


def _look_up(host: str, port: int, deadline: Deadline) -> list[Address]:
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return [Address(*found) for found in resolver.resolve((host, port), ask, deadline)]


def _failure(attempts: ConnectionAttempts, *, is_over: bool) -> BrokenError:
    refused = attempts.refused
    words = [f"{address}: {error.strerror or error}" for address, error in refused.items()]
    words += [f"{address}: no answer" for address in attempts.unanswered]
    told = "; ".join(words) or "no address"
    failure: BrokenError
    if is_over:
        failure = TimedOutError(f"connect timed out ({told})", phase=Phase.CONNECT)
        failure.__cause__ = TimeoutError(told)
    else:
        failure = BrokenError(f"nobody can be connected to ({told})", phase=Phase.CONNECT)
        failure.__cause__ = next(iter(refused.values()), None)
    return failure


def interleaved(addresses: Iterable[Address]) -> list[Address]:
    """Let the families take turns, the first address's family first (RFC 8305, 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    turns = zip_longest(*families.values())
    return [address for address in chain.from_iterable(turns) if address is not None]
