"""A wire to a service that a test can let hang, cut or drop."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


class Proxy:
    """Carries bytes both ways; while it ``hangs`` it takes them and carries none."""

    def __init__(self, port: int, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._socks: list[socket.socket] = []
        self._flows = threading.Event()
        self._flows.set()
        self._used_at: dict[frozenset[socket.socket], float] = {}
        self._forgotten: set[socket.socket] = set()
        self.drops = 0  # so many of the next connections are closed as they come

    def hang(self) -> None:
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Close what is open; new connections are refused once the block has ended."""
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def forget(self, idle_seconds: float) -> int:
        """Carry nothing any more on what rested for so long, and close none of it, as a NAT does.

        Returns how many connections that are.
        """
        since = time.monotonic() - idle_seconds
        resting = [pair for pair, used_at in self._used_at.items() if used_at < since]
        self._forgotten.update(sock for pair in resting for sock in pair)
        return len(resting)

    def serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.drops:
                self.drops -= 1
                near.close()
                continue
            self._flows.wait()
            far = socket.create_connection(("127.0.0.1", self._to))
            self._socks += [near, far]
            for pair in [(near, far), (far, near)]:
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.flow()
        self.cut()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                self._flows.wait()
                self._used_at[frozenset((source, sink))] = time.monotonic()
                if sink not in self._forgotten:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(to: int, port: int = 0) -> Iterator[Proxy]:
    """Stand before a port until the block ends; then that place refuses."""
    between = Proxy(port, to)
    threading.Thread(target=between.serve, daemon=True).start()
    try:
        yield between
    finally:
        between.close()
