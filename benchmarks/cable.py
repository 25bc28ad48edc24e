"""A TCP line to another port that can be cut, closed, silenced, or made to forget.

``python -m benchmarks.cable PORT TARGET_PORT`` is one that is cut when its process ends, so that a
broker that others use can be taken away from one benchmark. In a program, `Cable` is one in a
thread of its own.
"""

import asyncio
import contextlib
import math
import sys
import threading
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HOST = "127.0.0.1"
READ_SIZE = 65_536


@dataclass(slots=True)
class _Line:
    """One connection. A forgotten one takes what comes, and neither carries nor closes it."""

    marked: bool
    used_at: float = field(default_factory=time.monotonic)
    is_forgotten: bool = False


class Cable:
    """Carries bytes both ways between its port and another.

    ``idle_seconds``: a connection that rested longer is forgotten, as a router for NAT does it,
    and no end is told. With a ``mark``, only one on which those bytes were once sent.
    """

    def __init__(self, port: int, to: int, *, mark: bytes = b"") -> None:
        self.port, self._to, self._mark = port, to, mark
        self._server: asyncio.Server | None = None
        self._writers: set[StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop
        self.idle_seconds = math.inf
        self.is_silent = False  # takes connections and bytes, and carries none

    async def open(self) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._connect, HOST, self.port)

    def up(self) -> None:
        """Listen again, after `down`."""
        asyncio.run_coroutine_threadsafe(self.open(), self._loop).result()

    def down(self) -> None:
        """Refuse connections, and cut those that stand."""
        self._call(self._close)

    def cut(self) -> None:
        """Cut the connections that stand."""
        self._call(self._cut)

    def _call(self, act: Callable[[], None]) -> None:
        async def call() -> None:
            act()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._cut()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.is_silent:
                while await reader.read(READ_SIZE):
                    pass
                return
            await self._carry(reader, writer)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        there = await asyncio.open_connection(HOST, self._to)
        self._writers.add(there[1])
        line = _Line(marked=not self._mark)
        try:
            await asyncio.gather(
                self._hand_on(reader, there[1], line), self._hand_on(there[0], writer, line)
            )
        finally:
            self._writers.discard(there[1])
            there[1].close()

    async def _hand_on(self, reader: StreamReader, writer: StreamWriter, line: _Line) -> None:
        """Write what is read, until either end is closed."""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ_SIZE):
                line.marked = line.marked or self._mark in data
                if self._is_lost(line):
                    continue
                line.used_at = time.monotonic()
                writer.write(data)
                await writer.drain()
        if not self._is_lost(line):
            writer.close()

    def _is_lost(self, line: _Line) -> bool:
        rested = time.monotonic() - line.used_at
        line.is_forgotten |= line.marked and rested > self.idle_seconds
        return line.is_forgotten or self.is_silent


class Loop:
    """A thread that runs the cables of one benchmark."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cables", daemon=True)
        self._cables: list[Cable] = []

    def cable(self, port: int, to: int, *, mark: bytes = b"") -> Cable:
        """Lay one."""
        cable = Cable(port, to, mark=mark)
        self._cables.append(cable)
        asyncio.run_coroutine_threadsafe(cable.open(), self._loop).result()
        return cable

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def end(self) -> None:
        """Cut all, and end."""
        for cable in self._cables:
            cable.down()
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is gone after a turn of the loop


@contextlib.contextmanager
def loop() -> Iterator[Loop]:
    """Run one until the block ends."""
    cables = Loop()
    cables.start()
    try:
        yield cables
    finally:
        cables.end()


async def serve(port: int, target: int) -> None:
    """Hand on both ways until the process is killed."""
    await Cable(port, target).open()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
