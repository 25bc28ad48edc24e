"""A wire to a service that a test can let hang, cut or drop."""

import contextlib
import socket
import threading
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
        self._listening: set[socket.socket] = set()  # both ends of whoever wrote LISTEN
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

    def forget_listeners(self) -> bool:
        """Carry nothing any more for who listens, and close nothing, as a NAT does.

        Returns whether anybody does.
        """
        self._forgotten |= self._listening
        return bool(self._listening)

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
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:  # what it leads to has ended
                near.close()
                continue
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
                if b"LISTEN " in data:
                    self._listening |= {source, sink}
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
