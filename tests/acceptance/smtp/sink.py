"""A fast mail server in a process of its own, with a delay in front of it and, if asked, a temper.

It takes every mail and forgets the body. It counts the round trips that a client waits for: two to
connect and hear the banner, and one for each flight that comes after a reply. Asked to, it cuts
each connection after a random number of commands.
"""

import asyncio
import contextlib
import multiprocessing
import random
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

MESSAGE_ID = re.compile(rb"^Message-ID: *<([^>\r\n]*)>", re.IGNORECASE | re.MULTILINE)

OFFERS = {
    "chunked": (b"PIPELINING", b"CHUNKING", b"8BITMIME"),
    "pipelined": (b"PIPELINING", b"8BITMIME"),
    "plain": (b"8BITMIME",),
}


@dataclass(slots=True)
class Counts:
    connections: int = 0
    round_trips: int = 0
    mails: int = 0


class Delay:
    """Hands on what it is given, in order, some seconds later."""

    def __init__(self, seconds: float, hand_on: Callable[[bytes], None]) -> None:
        self._seconds = seconds
        self._hand_on = hand_on
        self._schedule: deque[tuple[float, bytes]] = deque()
        self._loop = asyncio.get_running_loop()

    def __call__(self, data: bytes, extra: float = 0.0) -> None:
        if not self._seconds:
            self._hand_on(data)
            return
        self._schedule.append((self._loop.time() + self._seconds + extra, data))
        if len(self._schedule) == 1:
            self._loop.call_at(self._schedule[0][0], self._next)

    def _next(self) -> None:
        self._hand_on(self._schedule.popleft()[1])
        if self._schedule:
            self._loop.call_at(self._schedule[0][0], self._next)


class Server(asyncio.Protocol):
    def __init__(self, world: "World", way: str) -> None:
        self._world = world
        self._way = way
        self._buffer = bytearray()
        self._chunk = 0
        self._in_data = False
        self._replied = False
        self._commands_left = world.patience()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._arrive = Delay(self._world.one_way, self._arrived)
        self._leave = Delay(self._world.one_way, self._left)
        counts = self._world.counts
        counts.connections += 1
        counts.round_trips += 2
        self._leave(b"220 sink\r\n", extra=3 * self._world.one_way)
        self._replied = True

    def data_received(self, data: bytes) -> None:
        self._arrive(data)

    def _left(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _say(self, line: bytes) -> None:
        self._leave(line + b"\r\n")
        self._replied = True

    def _arrived(self, data: bytes) -> None:
        self._world.counts.round_trips += self._replied
        self._replied = False
        self._buffer += data
        out: list[bytes] = []
        while self._commands_left and (line := self._step()) is not None:
            if line:
                out.append(line)
        if out and self._commands_left:
            self._say(b"\r\n".join(out))
        if not self._commands_left:
            if out and random.random() < 0.5:
                self._say(b"\r\n".join(out))
                self._transport.close()
            else:
                self._transport.abort()

    def _step(self) -> bytes | None:
        """Take one command, chunk or body off the buffer and give its reply; None to wait."""
        if self._chunk:
            return self._take(self._chunk)
        if self._in_data:
            end = self._buffer.find(b"\r\n.\r\n")
            return None if end < 0 else self._take(end + 5)
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._commands_left -= 1
        return self._command(line)

    def _take(self, size: int) -> bytes | None:
        if len(self._buffer) < size:
            return None
        match = MESSAGE_ID.search(self._buffer, 0, size)
        self._world.accepted.append(match[1] if match else b"")
        self._world.counts.mails += 1
        del self._buffer[:size]
        self._chunk, self._in_data = 0, False
        self._commands_left -= 1  # so that a cut can come between a mail and its reply
        return b"250 2.0.0 taken"

    def _command(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO":
                offers = (b"sink", *OFFERS[self._way])
                lines = [b"250-" + offer for offer in offers]
                lines[-1] = b"250 " + offers[-1]
                return b"\r\n".join(lines)
            case b"BDAT":
                self._chunk = int(line.split()[1])
                return b""
            case b"DATA":
                self._in_data = True
                return b"354 go on"
            case b"QUIT":
                self._leave(b"221 bye\r\n")
                self._commands_left = 1 << 60
                return b""
            case _:
                return b"250 2.0.0 ok"


@dataclass(slots=True)
class World:
    counts: Counts
    accepted: list[bytes]
    one_way: float = 0.0
    cut_after: int = 0

    def patience(self) -> int:
        return random.randint(1, self.cut_after) if self.cut_after else 1 << 60


async def serve(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    world = World(Counts(), [])
    servers = {
        way: await loop.create_server(
            lambda way=way: Server(world, way), "127.0.0.1", 0, backlog=256
        )
        for way in OFFERS
    }
    pipe.send({way: server.sockets[0].getsockname()[1] for way, server in servers.items()})
    stopped = loop.create_future()

    def answer() -> None:
        match pipe.recv():
            case ("set", round_trip, cut_after, seed):
                world.one_way, world.cut_after = round_trip / 2, cut_after
                random.seed(seed)
                pipe.send(None)
            case "take":
                pipe.send((world.counts, world.accepted))
                world.counts, world.accepted = Counts(), []
            case _:
                stopped.set_result(None)

    loop.add_reader(pipe.fileno(), answer)
    await stopped


def run(pipe: Connection) -> None:
    asyncio.run(serve(pipe))


class Sink:
    """The server, seen from the client's process."""

    host = "127.0.0.1"

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.ports: dict[str, int] = pipe.recv()

    def set(self, *, round_trip: float = 0.0, cut_after: int = 0, seed: int = 1) -> None:
        """Delay by so many seconds; cut after up to so many commands, 0 for never."""
        self._pipe.send(("set", round_trip, cut_after, seed))
        self._pipe.recv()

    def take(self) -> tuple[Counts, list[bytes]]:
        """Take what was counted since the last time: counts, and each mail's Message-ID."""
        self._pipe.send("take")
        return self._pipe.recv()  # type: ignore[no-any-return]


@contextlib.contextmanager
def running() -> Iterator[Sink]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Sink(ours)
    finally:
        ours.send("stop")
        process.join(5)
        process.terminate()
        ours.close()
