"""Ask how long a code takes to be accepted while mail servers fail, and whether one is lost.

Three routes, 20 codes a second, from two processes with their courier threads, as the kiosk's
server has. The mail servers are another process. Times are from the call of ``issue`` to the moment
at which a server had the mail; ``settled`` leaves out the first seconds, in which the circuits
open. On SQLite, or on a PostgreSQL database of its own.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from benchmarks import scratch
from tests.mailserver import free_port

PROCESSES = 2
RATE = 20 / PROCESSES
SETTLING_SECONDS = 3
OUTAGE_SECONDS = 30
CASES = {
    "all well": ("well", "well", "well"),
    "first dead": ("dead", "well", "well"),
    "first hangs": ("hangs", "well", "well"),
    "first answers after 5 s": ("slow", "well", "well"),
    "first answers 451": ("451", "well", "well"),
    "first refuses sign-in": ("535", "well", "well"),
    "two dead": ("dead", "dead", "well"),
}
OUTAGE = "all down, then one back"

type Mail = dict[str, Any]
type Taken = dict[str, list[float]]


def main() -> None:
    """Run each case, and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="a case")
    parser.add_argument("--case", choices=[*CASES, OUTAGE], action="append")
    parser.add_argument("--postgres", nargs="?", const=scratch.SERVER, metavar="URL")
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(options.send)
        return
    cases = options.case or [*CASES, OUTAGE]
    print(f"{'ms':25}{'p50':>8}{'p95':>8}{'p99':>8}{'settled p99':>13}{'doubled':>9}{'lost':>6}")
    for case in cases:
        with database(options.postgres) as url:
            if case == OUTAGE:
                outage(url)
            else:
                measure(case, url, options.seconds)


@contextlib.contextmanager
def database(server: str | None) -> Iterator[str]:
    """Make one that nobody used yet, on a PostgreSQL server or in a file."""
    if server:
        with scratch.database(server) as url:
            yield url
    else:
        with tempfile.TemporaryDirectory() as home:
            yield f"sqlite:///{home}/bench.sqlite3"


def measure(case: str, url: str, seconds: int) -> None:
    """Send under one behaviour of the mail servers."""
    ports = [free_port() for _ in range(3)]
    with (
        servers(dict(zip(ports, CASES[case], strict=True))) as taken,
        senders(ports, url, seconds) as told,
    ):
        mails = told()
    settled = [mail for mail in mails if mail["at"] > mails[0]["at"] + SETTLING_SECONDS]
    doubled = sum(len(taken.get(mail["id"], ())) > 1 for mail in mails)
    lost = sum(mail["id"] not in taken or mail["state"] != "accepted" for mail in mails)
    times = waits(mails, taken)
    percentiles = "".join(f"{percentile(times, part):8.1f}" for part in (50, 95, 99))
    last = percentile(waits(settled, taken), 99)
    share = 100 * doubled / len(mails)
    print(f"{case:25}{percentiles}{last:13.1f}{share:8.1f}%{lost:6}", flush=True)


def outage(url: str) -> None:
    """Send while no mail server is there, and see how fast all is out when one is back."""
    ports = [free_port() for _ in range(3)]
    with senders(ports, url, OUTAGE_SECONDS + 3) as told:
        time.sleep(OUTAGE_SECONDS)
        with servers({ports[1]: "well"}) as taken:
            back = time.time()
            waited = [mail for mail in told() if mail["at"] < back]
    out = waits([mail | {"at": back} for mail in waited], taken)
    ends = Counter(f"{mail['state']} {mail['reason']}".strip() for mail in waited)
    print(f"{OUTAGE}: {len(out)} of {len(waited)} were out, in ms after its return:")
    print(f"  p50 {percentile(out, 50):.0f}, p99 {percentile(out, 99):.0f}, last {max(out):.0f}")
    print(f"  {dict(ends)}; the lives of one in ten were too short")


def waits(mails: list[Mail], taken: Taken) -> list[float]:
    """Tell the milliseconds from each mail's moment to its being taken."""
    return [1000 * (taken[mail["id"]][0] - mail["at"]) for mail in mails if mail["id"] in taken]


def percentile(times: list[float], part: int) -> float:
    """Give a percentile."""
    return statistics.quantiles(times, n=100)[part - 1]


@contextlib.contextmanager
def servers(behaviours: dict[int, str]) -> Iterator[Taken]:
    """Run mail servers until the block ends; tells when each mail was taken, by its Message-ID."""
    alive = [f"{port}={name}" for port, name in behaviours.items() if name != "dead"]
    command = [sys.executable, "-m", "benchmarks.mailservers", *alive]
    taken: Taken = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        reader = threading.Thread(target=read, args=(process.stdout, taken))
        reader.start()
        try:
            yield taken
        finally:
            process.terminate()
            reader.join()


def read(lines: IO[str], taken: Taken) -> None:
    """Note each mail that a server took."""
    for line in lines:
        at, _, message_id = line.split()
        taken.setdefault(message_id, []).append(float(at))


@contextlib.contextmanager
def senders(ports: list[int], url: str, seconds: int) -> Iterator[Any]:
    """Run processes that issue codes; tells at their end what became of each, the first first."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "DATABASE_URL": url,
            "LOG_DIR": home,
            "PORTS": " ".join(map(str, ports)),
        }
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0", "--skip-checks"]
        subprocess.run(migrate, env=environment, check=True)
        command = [sys.executable, "-m", "benchmarks.failover", "--send", str(seconds)]
        processes = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]

        def told() -> list[Mail]:
            mails = [mail for process in processes for mail in json.loads(process.communicate()[0])]
            return sorted(mails, key=lambda mail: float(mail["at"]))

        yield told


def send(seconds: int) -> None:
    """Issue codes at a steady rate; print when each was, and what became of its mail."""
    import django

    django.setup()
    from otpmail import challenges, engines
    from otpmail.models import Delivery

    engines.current().start()
    time.sleep(1)  # sessions are opened ahead
    issued: dict[Any, float] = {}
    start = time.monotonic()
    for number in range(round(RATE * seconds)):
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        purpose = "short" if number % 10 == 9 else "sign-in"
        at = time.time()
        code = challenges.issue(purpose, owner=str(number), recipient="a@example.org")
        issued[code.challenge_id] = at
    until = time.monotonic() + 30
    while Delivery.objects.filter(state="queued").exists() and time.monotonic() < until:
        time.sleep(0.1)
    mails = [mail for mail in Delivery.objects.all() if mail.challenge_id in issued]
    told = [
        {
            "at": issued[mail.challenge_id],
            "id": mail.message_id,
            "state": mail.state,
            "reason": mail.reason,
        }
        for mail in mails
    ]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
