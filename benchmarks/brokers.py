"""Ask whether the time of ``POST transfers`` depends on the broker, and how much is the database's.

Three kiosks in one run, alike but for their broker: it works, or it accepts connections and says
nothing, or its port refuses. Each has its production server, a Celery worker, a mail server and a
PostgreSQL database of its own. They are asked in turns, in random order, so that what else the
machine does falls on each alike. While a broker is away the web processes send, with what is left
to them of two cores: so each mail is counted, and ends the run with status 1 if it is missing.
"""

import argparse
import contextlib
import json
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks import report, scratch, site
from benchmarks.load import Asked, Load
from benchmarks.site import CELERY_WORKER, Setup, Site
from demo.machine import HOST

RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
WARM_UP = 60
PERCENTILES = (50, 95, 99)
HEAD = """\
           answer, ms            times that of "up"    database      mails accepted
broker      p50    p95    p99    p50    p95    p99   p50 ms share   all   by worker"""


@dataclass(slots=True, kw_only=True)
class Kiosk:
    """One kiosk, and all that it was asked."""

    broker: str
    here: Site
    database_url: str
    log: Path
    http: httpx.Client
    load: Load
    asked: list[Asked] = field(default_factory=list)

    def ask(self, pool: ThreadPoolExecutor, requests: int) -> None:
        """Ask for so many transfers at once, and wait for the last answer."""
        numbers = range(len(self.asked), len(self.asked) + requests)
        answered = list(pool.map(lambda number: self.load.ask(self.http, number), numbers))
        assert all(asked.is_enqueued for asked in answered), answered
        self.asked += answered

    def mails(self) -> int:
        """Count the mails that its mail server took."""
        lines = self.here.journal.read_text().splitlines()
        return len({json.loads(line)["message_id"] for line in lines})

    def mails_by_worker(self) -> int:
        """Count those that its Celery worker sent."""
        (worker,) = self.here.workers
        return self.log.read_text().count(f"[{worker.process.pid}] Email accepted")


def main() -> int:
    """Measure, and print one row a kiosk. Returns the exit status."""
    options = arguments()
    with running(options) as kiosks:
        for requests in (WARM_UP, options.requests):
            ask_in_turns(kiosks, requests, options)
            for kiosk in kiosks:
                report.wait_until_settled(kiosk.database_url)
        show(kiosks)
        return 0 if all(kiosk.mails() == len(kiosk.asked) for kiosk in kiosks) else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="a kiosk")
    parser.add_argument("--rate", type=float, default=30, help="requests a second, of all three")
    parser.add_argument("--at-once", type=int, default=1, help="requests that a kiosk gets at once")
    parser.add_argument("--broker", default=RABBITMQ, help="a URL with its port; of Redis, too")
    parser.add_argument("--server", default=scratch.SERVER, help="a PostgreSQL server's URL")
    return parser.parse_args()


@contextlib.contextmanager
def running(options: argparse.Namespace) -> Iterator[list[Kiosk]]:
    """Run the three until the block ends."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server((HOST, 0), backlog=1000))
        refusing = stack.enter_context(socket.socket())  # bound, and nobody listens
        refusing.bind((HOST, 0))
        brokers = {
            "up": options.broker,
            "hangs": moved(options.broker, silent.getsockname()[1]),
            "refuses": moved(options.broker, refusing.getsockname()[1]),
        }
        yield [stack.enter_context(kiosk(*broker, options)) for broker in brokers.items()]


def moved(url: str, port: int) -> str:
    """Name another port."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()


@contextlib.contextmanager
def kiosk(broker: str, broker_url: str, options: argparse.Namespace) -> Iterator[Kiosk]:
    """Run one with all that is its own."""
    engine = "otpmail.engines.celery.CeleryEngine"
    setup = Setup(engine=engine, worker=CELERY_WORKER, broker=broker_url)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "site"
        url = stack.enter_context(scratch.database(options.server))
        here = stack.enter_context(
            site.running(
                home,
                setup,
                url,
                WARM_UP + options.requests,
                workers=1,
                settings="benchmarks.timed_settings",
            )
        )
        yield Kiosk(
            broker=broker,
            here=here,
            database_url=url,
            log=home / "logs" / "django.log",
            http=stack.enter_context(httpx.Client(timeout=20)),
            load=Load(here.port, here.tokens),
        )


def ask_in_turns(kiosks: list[Kiosk], requests: int, options: argparse.Namespace) -> None:
    """Ask each kiosk so much, evenly in time, in random order."""
    due = time.monotonic()
    with ThreadPoolExecutor(options.at_once) as pool:
        for _ in range(requests // options.at_once):
            for kiosk in random.sample(kiosks, len(kiosks)):
                time.sleep(max(0.0, due - time.monotonic()))
                kiosk.ask(pool, options.at_once)
                due += options.at_once / options.rate


def show(kiosks: list[Kiosk]) -> None:
    """Print the table."""
    print(HEAD)
    up = None
    for kiosk in kiosks:
        asked = kiosk.asked[WARM_UP:]
        took = [each.took_ms for each in asked]
        database = [each.database_ms for each in asked]
        times = percentiles(took)
        up = up or times
        ratios = [time / well for time, well in zip(times, up, strict=True)]
        print(
            f"{kiosk.broker:8}"
            + "".join(f"{time:7.1f}" for time in times)
            + "".join(f"{ratio:7.2f}" for ratio in ratios)
            + f"{statistics.median(database):9.1f}{sum(database) / sum(took):6.0%}"
            + f"{kiosk.mails():6}{kiosk.mails_by_worker():12}"
        )


def percentiles(times: list[float]) -> list[float]:
    """Give those that are shown."""
    cuts = statistics.quantiles(times, n=100)
    return [cuts[part - 1] for part in PERCENTILES]


if __name__ == "__main__":
    sys.exit(main())
