"""A mail server that does exactly what a test's script says, right or wrong.

A script is a function that is given each connection in turn as a `Talk`. What it raises is kept and
raised again when the server is left, except for a client that went away.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

OFFER_ALL = b"250-scripted\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
OFFER_PIPELINING = b"250-scripted\r\n250-8BITMIME\r\n250 PIPELINING\r\n"
OFFER_NOTHING = b"250 scripted\r\n"


class GoneError(Exception):
    """The client closed the connection."""


class Talk:
    """One connection, from the server's side."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.heard: list[bytes] = []
        self._buffer = b""

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def hear(self) -> bytes:
        """One line, without its end."""
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        self.heard.append(line)
        return line

    def hear_bytes(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def hear_body(self) -> bytes:
        """All that follows DATA, to the lone dot."""
        while not (b"\r\n" + self._buffer).endswith(b"\r\n.\r\n"):
            self._more()
        body, self._buffer = self._buffer, b""
        return body

    def greet(self, offer: bytes = OFFER_ALL) -> None:
        self.say(b"220 scripted\r\n")
        self.hear()
        self.say(offer)

    def hear_chunked(self) -> bytes:
        """Hear one mail's commands and its body, and say nothing."""
        while not (line := self.hear()).startswith(b"BDAT"):
            pass
        return self.hear_bytes(int(line.split()[1]))

    def take_chunked(self, answer: bytes = b"250 2.0.0 taken\r\n") -> bytes:
        """Hear one mail up to its BDAT, say the same to all of it; returns the body."""
        while not (line := self.hear()).startswith(b"BDAT"):
            self.say(b"250 2.0.0 ok\r\n")
        body = self.hear_bytes(int(line.split()[1]))
        self.say(answer)
        return body

    def take_stepwise(self, answer: bytes = b"250 2.0.0 taken\r\n") -> bytes:
        while self.hear() != b"DATA":
            self.say(b"250 2.0.0 ok\r\n")
        self.say(b"354 go on\r\n")
        body = self.hear_body()
        self.say(answer)
        return body

    def encrypt(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def wait_for_end(self) -> None:
        with contextlib.suppress(GoneError):
            while True:
                self._more()

    def cut(self) -> None:
        """Close with RST: whatever was not read is lost."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def _more(self) -> None:
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            raise GoneError
        self._buffer += data


class ScriptedServer:
    def __init__(
        self, script: Callable[[Talk], None], listener: socket.socket | None = None
    ) -> None:
        self._script = script
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=64)
        self.host, self.port = self._listener.getsockname()
        self.talks: list[Talk] = []
        self.faults: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(60)
            talk = Talk(sock, len(self.talks))
            self.talks.append(talk)
            thread = threading.Thread(target=self._run, args=(talk,), daemon=True)
            thread.start()
            self._threads.append(thread)  # `stop` joins what is here, and only what has begun

    def _run(self, talk: Talk) -> None:
        try:
            self._script(talk)
        except (GoneError, BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
        except BaseException as fault:  # noqa: BLE001 - raised again in the test's thread
            self.faults.append(fault)
        finally:
            talk.sock.close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for talk in self.talks:
            with contextlib.suppress(OSError):
                talk.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


@contextlib.contextmanager
def scripted(
    script: Callable[[Talk], None], listener: socket.socket | None = None
) -> Iterator[ScriptedServer]:
    """Run a server until the ``with`` block ends, on a free port of this host or where told."""
    server = ScriptedServer(script, listener)
    accepting = threading.Thread(target=server.serve, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        server.stop()
        accepting.join(5)
    if server.faults:
        raise server.faults[0]
