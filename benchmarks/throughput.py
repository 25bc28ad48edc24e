"""Ask what a code costs, and how many a second are sustained, on SQLite and on PostgreSQL.

Eight clients ask without a pause. A code counts when the mail server has taken its mail: the rate
is that of all codes from the first request to the last mail, so a backlog lowers it. Clients, mail
server and database share the machine with what is measured, so beside the rate stands the time of
a processor that the kiosk and its workers took for a code, which others disturb less. All cases
are measured in turns.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import scratch, site
from benchmarks.load import Load
from benchmarks.site import SETUPS, Site
from demo.machine import Popen

CLIENTS = 8
WARM_UP = 50
MAIL_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Case:
    """What runs."""

    database: str
    engine: str
    web_processes: int
    workers: int


CASES = (
    Case("SQLite", "threads", 1, 0),
    Case("PostgreSQL", "threads", 1, 0),
    Case("PostgreSQL", "threads", 2, 0),
    Case("PostgreSQL", "worker", 1, 1),
    Case("PostgreSQL", "worker", 1, 3),
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Answers a second, codes a second, and a processor's milliseconds a code."""

    answers: float
    codes: float
    cpu_ms: float


def main() -> None:
    """Measure in turns, and print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="a case and turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--server", default=scratch.SERVER, help="a PostgreSQL server's URL")
    options = parser.parse_args()
    rates: dict[Case, list[Rates]] = defaultdict(list)
    for _ in range(options.turns):
        for case in CASES:
            with running(case, options) as here:
                rates[case].append(measured(here, options.requests))
    print("database    engine     web  workers  answers/s  codes/s  CPU ms a code")
    for case, turns in rates.items():
        answers, codes, cpu_ms = (
            statistics.median(getattr(turn, name) for turn in turns)
            for name in ("answers", "codes", "cpu_ms")
        )
        print(
            f"{case.database:12}{case.engine:8}{case.web_processes:>6}{case.workers:>9}"
            f"{answers:>11.0f}{codes:>9.0f}{cpu_ms:>15.1f}"
        )


@contextlib.contextmanager
def running(case: Case, options: argparse.Namespace) -> Iterator[Site]:
    """Run what the case says."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "site"
        url = f"sqlite:///{home / 'kiosk.sqlite3'}"
        if case.database == "PostgreSQL":
            url = stack.enter_context(scratch.database(options.server))
        with site.running(
            home,
            SETUPS[case.engine],
            url,
            options.requests,
            web_processes=case.web_processes,
            workers=case.workers,
        ) as here:
            yield here


def measured(here: Site, requests: int) -> Rates:
    """Ask for so many codes, and wait until all are mailed."""
    warm_up = Load(here.port, here.tokens)
    warm_up.run(WARM_UP, rate=50)
    refused = [asked.status for asked in warm_up.asked if not asked.is_enqueued]
    assert not refused, refused
    wait_for(here.journal, WARM_UP)
    load, processes = Load(here.port, here.tokens), [here.kiosk, *here.workers]
    spent = sum(cpu_seconds(kept.process) for kept in processes)
    load.run(requests, float("inf"), CLIENTS)
    wait_for(here.journal, WARM_UP + requests)
    spent = sum(cpu_seconds(kept.process) for kept in processes) - spent
    assert all(asked.is_enqueued for asked in load.asked)
    begun = min(asked.begun_at for asked in load.asked)
    answered = max(asked.begun_at + asked.took_ms / 1000 for asked in load.asked)
    last = json.loads(here.journal.read_text().splitlines()[-1])["accepted_at"]
    return Rates(
        answers=requests / (answered - begun),
        codes=requests / (last - begun),
        cpu_ms=spent * 1000 / requests,
    )


def wait_for(journal: Path, mails: int) -> None:
    """Wait until the mail server has taken so many."""
    until = time.monotonic() + MAIL_SECONDS
    while journal.read_bytes().count(b"\n") < mails:
        assert time.monotonic() < until, f"fewer than {mails} mails in {MAIL_SECONDS} s"
        time.sleep(0.1)


def cpu_seconds(leader: Popen) -> float:
    """Tell what a process and its children, which share its session, took of a processor."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # proc(5): field 3 is the first after the name; session is 6, utime 14, stime 15.
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += (int(fields[11]) + int(fields[12])) * (int(fields[3]) == leader.pid)
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
