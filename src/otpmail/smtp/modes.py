"""A server that promises more than it keeps is taken at its deeds, and they are remembered.

In: whom a server was seen to fail, and in what. Out: the extensions not to be used with it.
Knows nothing of: how each way is gone.
"""

import logging
import time
from collections.abc import Collection
from enum import IntEnum

logger = logging.getLogger(__name__)

REMEMBERED = 3600.0
"""Seconds after which a server is believed again; somebody may have mended it."""

MAX_REMEMBERED = 1024

FLIGHTS = frozenset({"PIPELINING", "CHUNKING"})
"""The extensions without which mails are sent step by step."""


class Mode(IntEnum):
    """The ways to send, the plainest first."""

    STEPWISE = 1
    """A reply is awaited after each command: four round trips."""
    PIPELINED = 2
    """MAIL, RCPT and DATA in one write, then the body: two (RFC 2920)."""
    CHUNKED = 3
    """MAIL, RCPT, BDAT and the body in one write: one (RFC 3030)."""
    WINDOWED = 4
    """The same behind a RSET, while other mails are in flight: less than one a mail."""


class Memory:
    """What servers offer and do not keep, by host and port, for an hour each."""

    def __init__(self) -> None:
        # No lock: one would not survive a fork.
        self._until: dict[tuple[str, int], dict[str, float]] = {}

    def unkept(self, host: str, port: int) -> frozenset[str]:
        """Tell the extensions that this server cannot be trusted with."""
        now = time.monotonic()
        times = self._until.get((host, port), {})
        return frozenset(keyword for keyword, until in times.items() if now < until)

    def distrust(self, host: str, port: int, keywords: Collection[str], reason: object) -> None:
        """Remember that a server does not keep what it offers, and log it."""
        if len(self._until) >= MAX_REMEMBERED:
            self._until.clear()
        until = time.monotonic() + REMEMBERED
        known = self._until.get((host, port), {})
        self._until[host, port] = known | dict.fromkeys(keywords, until)
        logger.warning(
            "Email: the server %s:%d misbehaves (%s); %s not used with it for an hour",
            host,
            port,
            reason,
            " and ".join(sorted(keywords)),
        )

    def clear(self) -> None:
        """Forget all."""
        self._until.clear()


memory = Memory()
"""This process's memory."""
