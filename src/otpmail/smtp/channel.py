"""A channel is a socket that never waits longer than it may, and knows how much it has written.

In: bytes and a deadline. Out: bytes, or `BrokenError`, `TimedOutError`, `InsecureChannelError`.
Knows nothing of: SMTP.
"""

import contextlib
import functools
import os
import select
import socket
import ssl
import struct
from collections.abc import Callable

from otpmail.smtp import tcp_path
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import BrokenError, InPhase, Phase, ProtocolError, SilentPathError

READ_SIZE = 65536

LINGER_NOT = struct.pack("@ii", 1, 0)

GLANCE_SECONDS = 0.25
"""Between two looks at the path while the other side is waited for."""

PLAIN_SIZE = 100

NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})
"""OpenSSL's reasons when what came is no record of TLS."""


class Channel:
    """One connection's bytes in and out. ``written`` counts the octets the kernel has taken."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._path = tcp_path.TcpPath()
        self.written = 0
        self.closed = False
        """Whether this side has closed it."""

    @property
    def encrypted(self) -> bool:
        """Whether TLS lies over it."""
        return isinstance(self._socket, ssl.SSLSocket)

    def write(self, data: bytes, *, phase: Phase, limit: float, deadline: Deadline) -> None:
        """Write all of it; whatever happens, ``written`` tells how far it came.

        The other side may stop taking it for ``limit`` seconds: a large mail may take its time.
        """
        rest = memoryview(data)
        self._path.begins(self._socket, self.written)
        while rest:
            with InPhase(phase):
                send = functools.partial(self._socket.send, rest)
                sent = self._wait(send, phase, deadline.sooner(limit))
            self._path.sent()
            self.written += sent
            rest = rest[sent:]

    def read(self, *, phase: Phase, deadline: Deadline) -> bytes:
        """Read what is there, at least one octet."""
        with InPhase(phase):
            receive = functools.partial(self._socket.recv, READ_SIZE)
            data = self._wait(receive, phase, deadline)
        if not data:
            raise BrokenError("the server ended the connection", phase=phase)
        return data

    def _wait[T](self, call: Callable[[], T], phase: Phase, deadline: Deadline) -> T:
        """Call until there is a result, and see to it meanwhile that the path is not silent."""
        while True:
            allow(self._socket, deadline, at_most=GLANCE_SECONDS)
            try:
                return call()
            except TimeoutError:
                arrived = self._path.arrived(self._socket, self.written)
                if arrived is not None:
                    self._abort()
                    raise SilentPathError(arrived, phase=phase) from None

    def _abort(self) -> None:
        """Close, and have the system drop what it would still send: the mail goes elsewhere."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.close()

    def encrypt(self, context: ssl.SSLContext, host: str, *, deadline: Deadline) -> None:
        """Put TLS over it. Raises `InsecureChannelError` if certificate or name are wrong."""
        with InPhase(Phase.TLS):
            allow(self._socket, deadline)
            self._socket = context.wrap_socket(
                self._socket, server_hostname=host, do_handshake_on_connect=False
            )
            try:
                self._socket.do_handshake()
            except ssl.SSLError as error:
                if error.reason in NO_TLS:
                    raise ProtocolError(
                        "TLS was answered in plain text", phase=Phase.TLS, said=self._plain_text()
                    ) from error
                raise

    def _plain_text(self) -> bytes:
        """Give what came in place of TLS, but for the octets that OpenSSL has read."""
        with (
            contextlib.suppress(OSError),
            socket.socket(fileno=os.dup(self._socket.fileno())) as plain,
        ):
            plain.setblocking(False)
            return b"..." + plain.recv(PLAIN_SIZE)
        return b""

    def keep(self, *, unanswered_seconds: float) -> None:
        """Have the system look after it while nobody speaks, and give up what is unanswered."""
        tcp_path.keep(self._socket, unanswered_seconds=unanswered_seconds)

    def quiet(self) -> bool:
        """Look, without a round trip, whether it is open and nothing has come.

        A server that speaks unasked says good-bye (421), one that is readable without a byte has
        closed, and a half-dead TLS layer shows as readable too: in each case it is of no more use.
        """
        if self.closed:
            return False
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN | select.POLLHUP | select.POLLERR)
            return not poll.poll(0)
        except (OSError, ValueError):  # closed meanwhile
            return False

    def local_literal(self) -> str:
        """Give this end's address as SMTP writes it (RFC 5321, 4.1.3)."""
        address = str(self._socket.getsockname()[0]).partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def close(self) -> None:
        """Close this process's end. Nothing is written: a forked parent may be using its own."""
        self.closed = True
        self._socket.close()


def allow(sock: socket.socket, deadline: Deadline, *, at_most: float | None = None) -> None:
    """Let the socket's next call wait as long as there is time left, or so many seconds of it."""
    if deadline.left() == 0.0:
        raise TimeoutError("no time is left")
    sock.settimeout(deadline.sooner(at_most).left())
