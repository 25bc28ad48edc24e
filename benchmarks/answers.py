"""Ask how long ``POST transfers`` takes, whatever the mail server does, and when its mail is taken.

The kiosk on its production server (2 workers, 8 threads each, SQLite), one client, 20 requests a
second. The mail server is another process that takes mail at once, or nothing listens there, or
something accepts connections and then says nothing. All in one run, in turns, so that what else the
machine does falls on each alike.
"""

import argparse
import contextlib
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from demo import machine
from demo.machine import HOST, Ports
from tests.acceptance.site import Phone, Site
from tests.mailserver import free_port

RATE = 20
WARM_UP = 20


@dataclass
class Case:
    """One behaviour of the mail server, and the milliseconds measured under it."""

    name: str
    answered: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, and print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="a case and turn")
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    cases = [Case("takes mail at once"), Case("refuses connections"), Case("says nothing")]
    for _ in range(options.turns):
        for case in cases:
            measure(case, options.requests)
    print(f"{'mail server':22}{'answer p50':>12}{'p99':>8}{'accepted p50':>14}{'p99':>8}   (ms)")
    for case in cases:
        print(f"{case.name:22}{row(case.answered, 12)}{row(case.accepted, 14)}")
    well, *ill = (statistics.median(case.answered) for case in cases)
    print(f"slower than with a good mail server: {max(ill) / well:.2f} times at the median")


def row(times: list[float], width: int) -> str:
    """Show a median and a 99th percentile."""
    if not times:
        return f"{'-':>{width}}{'-':>8}"
    p99 = statistics.quantiles(times, n=100)[98]
    return f"{statistics.median(times):>{width}.1f}{p99:>8.1f}"


def measure(case: Case, requests: int) -> None:
    """Run a kiosk of its own under one behaviour of the mail server."""
    with tempfile.TemporaryDirectory() as scratch:
        site = Site(Path(scratch) / "site")
        ports = Ports(kiosk=site.ports.kiosk, smtp=site.ports.smtp, mailbox=free_port())
        with mail_server(case, site.home, ports), site.up():
            asked = ask(site.alice(), requests, case)
            if case.name == "takes mail at once":
                case.accepted += accepted(ports.mailbox, asked)


def ask(alice: Phone, requests: int, case: Case) -> dict[str, float]:
    """Ask at a steady rate. Returns when each request was begun, by its reference."""
    begun: dict[str, float] = {}
    start = time.monotonic()
    for number in range(WARM_UP + requests):
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        wall, clock = time.time(), time.perf_counter()
        answer = alice.ask()
        took_ms = (time.perf_counter() - clock) * 1000
        assert answer.status_code == 201, answer.text
        if number >= WARM_UP:
            case.answered.append(took_ms)
            begun[answer.json()["reference"]] = wall
    return begun


def accepted(mailbox_port: int, asked: dict[str, float]) -> list[float]:
    """Ask the mail server when it took each mail. Milliseconds from the request's begin."""
    time.sleep(1)
    mails = httpx.get(f"http://{HOST}:{mailbox_port}/mails.json").json()
    times = {mail["text"].split("Reference: ")[1].split()[0]: mail["accepted_at"] for mail in mails}
    return [(times[ref] - begun) * 1000 for ref, begun in asked.items() if ref in times]


@contextlib.contextmanager
def mail_server(case: Case, home: Path, ports: Ports) -> Iterator[None]:
    """Let the mail server's port behave as the case says."""
    if case.name == "takes mail at once":
        with machine.mail_server(home, ports):
            yield
    elif case.name == "says nothing":
        with socket.create_server((HOST, ports.smtp), backlog=100):
            yield
    else:
        yield


if __name__ == "__main__":
    main()
