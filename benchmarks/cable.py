"""``python -m benchmarks.cable PORT TARGET_PORT``: a TCP line to another port, cut when it ends.

So a broker that others use can be taken away from one benchmark.
"""

import asyncio
import contextlib
import sys

HOST = "127.0.0.1"
READ_SIZE = 65_536


async def serve(port: int, target: int) -> None:
    """Hand on both ways until the process is killed."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(HOST, target)
        await asyncio.gather(hand_on(reader, there[1]), hand_on(there[0], writer))

    async with await asyncio.start_server(connect, HOST, port) as server:
        await server.serve_forever()


async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write what is read, until either end is closed."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(READ_SIZE):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
