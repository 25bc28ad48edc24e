"""Mail servers that behave well or ill, all in one process: ``PORT=BEHAVIOUR ...``.

Each mail that is taken is a line on the standard output: when, on which port, its Message-ID.
"""

import asyncio
import contextlib
import re
import sys
import time
from asyncio import StreamReader, StreamWriter
from functools import partial

GOOD = b"250 2.0.0 ok\r\n"
EHLO = b"250-bench\r\n250-AUTH PLAIN\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
WELL = {b"EHLO": EHLO, b"AUTH": b"235 2.7.0 ok\r\n"}
REPLIES = {
    "well": WELL,
    "slow": WELL,
    "451": WELL
    | dict.fromkeys((b"MAIL", b"BDAT"), b"451 4.3.2 not now\r\n")
    | {b"RCPT": b"503 5.5.1 MAIL first\r\n"},
    "535": WELL | {b"AUTH": b"535 5.7.8 wrong password\r\n"},
}
SLOW_SECONDS = 5
MESSAGE_ID = re.compile(rb"^Message-ID: (\S+)", re.IGNORECASE | re.MULTILINE)


async def converse(port: int, behaviour: str, reader: StreamReader, writer: StreamWriter) -> None:
    """Hold one conversation, until the other side goes."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await answer(port, behaviour, reader, writer)
    writer.close()


async def answer(port: int, behaviour: str, reader: StreamReader, writer: StreamWriter) -> None:
    """Answer each command as the behaviour says."""
    if behaviour == "hangs":
        await reader.read()
        return
    reply = b"220 bench\r\n"
    while True:
        await asyncio.sleep(SLOW_SECONDS if behaviour == "slow" else 0)
        writer.write(reply)
        if not (line := await reader.readline()):
            return
        verb = line[:4].upper()
        reply = REPLIES[behaviour].get(verb, GOOD)
        if verb == b"BDAT":
            take(port, await reader.readexactly(int(line.split()[1])), taken=reply == GOOD)


def take(port: int, body: bytes, *, taken: bool) -> None:
    """Tell of a mail."""
    if taken and (found := MESSAGE_ID.search(body)):
        print(time.time(), port, found[1].decode(), flush=True)


async def serve(servers: dict[int, str]) -> None:
    """Listen until the process is ended."""
    for port, behaviour in servers.items():
        await asyncio.start_server(partial(converse, port, behaviour), "127.0.0.1", port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    named = (argument.split("=") for argument in sys.argv[1:])
    asyncio.run(serve({int(port): behaviour for port, behaviour in named}))
