"""What does a mail cost on the wire? Django's SMTP backend and otpmail's against one server.

    python benchmarks/wire.py            the table: 0, 50 and 200 ms of round-trip time
    python benchmarks/wire.py --soak     10,000 mails over connections that are cut at random

One server in a process of its own, with the delay in front of it (tests/acceptance/smtp/sink.py):
it takes all mail at once and keeps none, so that what is measured is the way there. Connecting
costs what TCP costs: a round trip, and another until the banner is heard. Round trips are read off
the server's side. Mails are built, rendered and sent through ``send_messages`` as a project would.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import django  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.mail import EmailMessage  # noqa: E402
from django.core.mail.backends.smtp import EmailBackend as DjangoBackend  # noqa: E402

from otpmail.backends.smtp import EmailBackend, close_pools  # noqa: E402
from tests.acceptance.smtp.sink import Sink, running  # noqa: E402
from tests.acceptance.smtp.soak import Soak  # noqa: E402

ROUND_TRIPS_MS = (0, 50, 200)
MAILS = {0: 400, 50: 24, 200: 12}
SESSIONS = 8
ROUNDS = 10
BODY = "Your code is 123456. It expires at 12:34.\n\n" + "Not you? Cancel here.\n" * 30

Send = Callable[[int], object]

if not settings.configured:
    settings.configure(MAILERS={})


def message() -> EmailMessage:
    """Build what a project would."""
    return EmailMessage("Your code", BODY, "codes@example.org", ["alice@example.org"])


class Client:
    """A way to send. ``sender`` makes a function that sends so many mails on one session."""

    def __init__(
        self, name: str, way: str, *, held: bool = True, window: int = 1, **options
    ) -> None:
        self.name = name
        self._way = way
        self._held = held
        self._window = window
        self._options = options

    def sender(self, sink: Sink) -> Send:
        """Make the function that sends so many mails, one after the other."""
        place = {"alias": "bench", "host": sink.host, "port": sink.ports[self._way]}
        if not self.name.startswith("Django"):
            backend = EmailBackend(
                **place, min_warm=0, pool_size=SESSIONS, max_messages=10_000, window=self._window,
                **self._options,
            )  # fmt: skip
            if self._window > 1:
                return lambda count: backend.send_messages([message() for _ in range(count)])
        else:
            backend = DjangoBackend(**place)
            if self._held:
                backend.open()

        def send(count: int) -> None:
            for _ in range(count):
                backend.send_messages([message()])

        return send


CLIENTS = [
    Client("Django, a connection each mail", "chunked", held=False),
    Client("Django, held open", "chunked"),
    Client("otpmail, step by step", "chunked", pipelining=False),
    Client("otpmail, PIPELINING", "pipelined"),
    Client("otpmail, CHUNKING", "chunked"),
    Client("otpmail, CHUNKING, window 32", "chunked", window=32),
]


def measure(client: Client, sink: Sink, mails: int) -> tuple[float, float, float, float]:
    """Median ms a mail, mails a second on 1 and on 8 sessions, round trips a mail."""
    send = client.sender(sink)
    send(1)
    sink.take()
    batch = mails if "window" in client.name else 1
    times = []
    start = time.perf_counter()
    for _ in range(0, mails, batch):
        begun = time.perf_counter()
        send(batch)
        times.append((time.perf_counter() - begun) / batch)
    alone = mails / (time.perf_counter() - start)
    counts, _ = sink.take()
    with ThreadPoolExecutor(SESSIONS) as threads:
        sends = [client.sender(sink) for _ in range(SESSIONS)]
        list(threads.map(lambda send: send(1), sends))
        start = time.perf_counter()
        list(threads.map(lambda send: send(mails), sends))
        together = SESSIONS * mails / (time.perf_counter() - start)
    close_pools()
    sink.take()
    return statistics.median(times) * 1000, alone, together, counts.round_trips / counts.mails


def table() -> None:
    """Print what each client costs at each delay."""
    print(
        f"Python {platform.python_version()}, Django {django.__version__}, {os.cpu_count()} cores"
    )
    with running() as sink:
        for round_trip in ROUND_TRIPS_MS:
            sink.set(round_trip=round_trip / 1000)
            print(
                f"\n| {round_trip} ms | ms a mail | mails/s, 1 session | {SESSIONS} | round trips |"
            )
            print("|---|--:|--:|--:|--:|")
            medians: dict[str, float] = {}
            for client in CLIENTS:
                median, alone, together, trips = measure(client, sink, MAILS[round_trip])
                medians[client.name] = median
                print(
                    f"| {client.name} | {median:.2f} | {alone:.1f} | {together:.1f} | {trips:.2f} |"
                )
            ours = medians["otpmail, CHUNKING"]
            for name in ("Django, held open", "Django, a connection each mail"):
                print(f"CHUNKING is {medians[name] / ours:.2f} times as fast as {name}")


def soak(mails: int) -> None:
    """Send mails over cut connections; fail if one is lost, or doubled without doubt."""
    copies: Counter[bytes] = Counter()
    connections = 0
    with running() as sink:
        sink.set(cut_after=40)
        run = Soak(sink, threads=SESSIONS)
        start = time.perf_counter()
        memory = []
        for _ in range(ROUNDS):
            run.send(mails // ROUNDS)
            counts, accepted = sink.take()
            copies.update(accepted)
            connections += counts.connections
            memory.append(resident_kib())
        seconds = time.perf_counter() - start
        time.sleep(2)  # the keeper looks once a second
        print(f"{mails} mails in {seconds:.0f} s over {connections} connections; {run.pool!r}")
        print(f"open by ss: {open_by_ss(sink.ports['chunked'])}")
        doubled = {id_ for id_, count in copies.items() if count > 1}
        print(
            f"lost: {mails - len(copies)}; in doubt: {len(run.doubtful)}; doubled: {len(doubled)}"
        )
        print(f"doubled without doubt: {len(doubled - run.doubtful)}")
        print(f"memory after each {mails // ROUNDS}, KiB: {memory}")
        assert len(copies) == mails
        assert doubled <= run.doubtful
        run.close()


def open_by_ss(port: int) -> int:
    """Count the connections to a port that this machine's kernel holds open."""
    command = ["ss", "-Htn", "state", "established", f"( dport = :{port} )"]
    return subprocess.run(command, capture_output=True, check=True).stdout.count(b"\n")


def resident_kib() -> int:
    """Tell this process's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", nargs="?", const=10_000, type=int, metavar="MAILS")
    arguments = parser.parse_args()
    if arguments.soak:
        soak(arguments.soak)
    else:
        table()
