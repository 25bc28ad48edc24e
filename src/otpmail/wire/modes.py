"""A server that promises more than it keeps is spoken to the plain way, and that is remembered.

In: what a server offers, and whom it was seen to fail. Out: the way to send.
Knows nothing of: how each way is gone.
"""

import logging
import time
from enum import IntEnum

logger = logging.getLogger(__name__)

REMEMBERED = 3600.0
"""Seconds after which a server is believed again; somebody may have mended it."""

MAX_REMEMBERED = 1024


class Mode(IntEnum):
    """The ways to send, the plainest first."""

    STEPWISE = 1
    """A reply is awaited after each command: four round trips."""
    PIPELINED = 2
    """MAIL, RCPT and DATA in one write, then the body: two (RFC 2920)."""
    CHUNKED = 3
    """MAIL, RCPT, BDAT and the body in one write: one (RFC 3030)."""


class Memory:
    """Which servers misbehaved, by host and port, for an hour each."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], float] = {}  # no lock: one would not survive a fork

    def ceiling(self, host: str, port: int) -> Mode:
        """Tell the best way that this server can be trusted with."""
        until = self._until.get((host, port), 0.0)
        return Mode.STEPWISE if time.monotonic() < until else Mode.CHUNKED

    def distrust(self, host: str, port: int, reason: object) -> None:
        """Remember that a server misbehaved, and log it."""
        if len(self._until) >= MAX_REMEMBERED:
            self._until.clear()
        self._until[host, port] = time.monotonic() + REMEMBERED
        logger.warning(
            "Email: the server %s:%d misbehaves (%s); sending step by step from now on",
            host,
            port,
            reason,
        )

    def clear(self) -> None:
        """Forget all."""
        self._until.clear()


memory = Memory()
"""This process's memory."""
