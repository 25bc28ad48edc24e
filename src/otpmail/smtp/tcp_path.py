"""What TCP knows of the way to the server: which octets arrived there, and since when none does.

In: a connected socket, and how many octets were written to it. Out: whether the path is silent, and
how many octets may have arrived.
Knows nothing of: SMTP, and of what the octets mean.

A NAT or a firewall that forgot a connection drops what is sent on it and says nothing. The system
sends it again, and knows that nobody acknowledges it, long before a reply's time-out. Linux tells
(``TCP_INFO``, ``SIOCOUTQ``); where the system does not, no path is ever silent.
"""

import contextlib
import fcntl
import socket
import struct
import sys
import termios
import time
from collections import deque
from dataclasses import dataclass

SILENT_SECONDS = 1.0
"""How long nothing may be acknowledged: five times what a receiver may put it off (RFC 1122,
4.2.3.2 allows half a second, Linux 0.2), and two or three repetitions. Longer on a slow path."""

ROUND_TRIPS = 4
"""How many round trips it is at least."""

LOST_PROBES = 3
"""Of a window that is shut, without an answer: so many in a row are no slow reader's."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds until a session that idles is asked, between two questions, and how many: a NAT that
forgets after 30 seconds keeps it, and one that was forgotten is found before a mail needs it."""

IN_FLIGHT, SINCE_ACK, ROUND_TRIP, ACKED, PROBES = 24, 56, 68, 120, 3
"""Places in Linux's ``struct tcp_info``; octets that were acknowledged since Linux 4.1."""

INFO_SIZE = 128


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the system tells of a connection at one moment."""

    acknowledged: int
    queued: int
    """Octets that wait to be sent, or to be acknowledged."""
    in_flight: int
    """Segments that were sent and not acknowledged."""
    lost_probes: int
    since_ack: float
    round_trip: float


def look(sock: socket.socket) -> Traffic | None:
    """Ask the system; ``None`` where it does not tell."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError, ValueError):
        # In this order: what is acknowledged meanwhile is then counted as not written yet.
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
        queued = fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0")
        if len(info) == INFO_SIZE:
            return Traffic(
                acknowledged=struct.unpack_from("@Q", info, ACKED)[0],
                queued=struct.unpack("@i", queued)[0],
                in_flight=struct.unpack_from("@I", info, IN_FLIGHT)[0],
                lost_probes=info[PROBES],
                since_ack=struct.unpack_from("@I", info, SINCE_ACK)[0] / 1000,
                round_trip=struct.unpack_from("@I", info, ROUND_TRIP)[0] / 1_000_000,
            )
    return None


def keep(sock: socket.socket, *, unanswered_seconds: float) -> None:
    """Have the system ask for a sign of life, and give up what is unanswered for so long."""
    options = KEEP_ALIVE | {"TCP_USER_TIMEOUT": max(1, int(unanswered_seconds * 1000))}
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class TcpPath:
    """The writes on one connection, and how far each came.

    Octets are counted as they are written; under TLS the system counts more of them, and what may
    have arrived is then the most that it can be.
    """

    def __init__(self) -> None:
        self._writes: deque[tuple[int, int]] = deque()  # written before, and handed to the system
        self._sent_at = 0.0

    def begins(self, sock: socket.socket, written: int) -> None:
        """Note that a write begins, after so many octets."""
        traffic = look(sock)
        if traffic is None:
            return
        while len(self._writes) > 1 and self._writes[1][1] <= traffic.acknowledged:
            self._writes.popleft()
        self._writes.append((written, traffic.acknowledged + traffic.queued))

    def sent(self) -> None:
        """Note that the system took octets just now."""
        self._sent_at = time.monotonic()

    def arrived(self, sock: socket.socket, written: int) -> int | None:
        """Tell how many octets may have arrived if nothing does any more; else ``None``."""
        traffic = look(sock)
        if traffic is None or not self._is_silent(traffic):
            return None
        arrived = written
        for before, handed in self._writes:
            if handed > traffic.acknowledged:
                return min(arrived, before)
            arrived = min(written, before + traffic.acknowledged - handed)
        return arrived

    def _is_silent(self, traffic: Traffic) -> bool:
        waits = traffic.in_flight > 0 or (traffic.queued > 0 and traffic.lost_probes >= LOST_PROBES)
        since = min(traffic.since_ack, time.monotonic() - self._sent_at)
        return waits and since >= max(SILENT_SECONDS, ROUND_TRIPS * traffic.round_trip)
