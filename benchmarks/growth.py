"""Ask whether requests and sweeps slow down as finished mails pile up: 0, 100,000, 3,000,000.

One PostgreSQL database a size, each with so many challenges that were confirmed, their deliveries
and attempts, spread over thirty days. Measured in turns, one round in each database after the
other, so that what else the machine does falls on each alike. Mails go to Django's dummy backend.
"""

import argparse
import logging
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import dj_database_url
import django
from django.conf import settings
from django.db import connections

from benchmarks import scratch

SIZES = (0, 100_000, 3_000_000)

type Times = dict[str, dict[int, list[float]]]


class Here:
    """A router: all is read and written in the database whose turn it is."""

    alias = ""

    def db_for_write(self, *_: object, **__: object) -> str:
        """Name it."""
        return self.alias

    db_for_read = db_for_write


HERE = Here()


def main() -> None:
    """Fill, measure in turns, and print one row a step."""
    options = arguments()
    times: Times = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        urls = {n: stack.enter_context(scratch.database(options.server)) for n in options.sizes}
        configure({str(n): dj_database_url.parse(url) for n, url in urls.items()})
        stack.callback(connections.close_all)
        for size in options.sizes:
            fill(size)
        for number in range(-1, options.rounds):
            for size in options.sizes:
                for step, took_ms in measured(size):
                    if number >= 0:  # the one before connects and compiles
                        times[step][size].append(took_ms)
    show(times, options.sizes)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="finished mails")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--server", default=scratch.SERVER, help="a PostgreSQL server's URL")
    return parser.parse_args()


def configure(databases: dict[str, Any]) -> None:
    """Set Django up: otpmail alone, in so many databases."""
    settings.configure(
        SECRET_KEY=str(uuid4()),
        INSTALLED_APPS=["otpmail"],
        DATABASES={"default": {}} | databases,
        DATABASE_ROUTERS=[HERE],
        MAILERS={"default": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"}},
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
        ],
        OTPMAIL_ENGINE="otpmail.engines.worker.WorkerEngine",
        USE_TZ=True,
    )
    django.setup()
    logging.disable(logging.WARNING)


def fill(size: int) -> None:
    """Write so many finished mails into the database of this size."""
    from benchmarks import history  # Django is set up only now

    HERE.alias = str(size)
    begun = time.monotonic()
    history.write(size)
    print(f"{size:>11,} finished mails written in {time.monotonic() - begun:.0f} s", flush=True)


def measured(size: int) -> list[tuple[str, float]]:
    """Do one round there. Gives each step's milliseconds."""
    from benchmarks import history

    HERE.alias = str(size)
    return list(history.one_round())


def show(times: Times, sizes: list[int]) -> None:
    """Print medians, and how many times slower the largest is than the smallest."""
    print(f"{'median ms':12}" + "".join(f"{size:>12,}" for size in sizes) + f"{'last/first':>14}")
    for step, of_size in times.items():
        medians = [statistics.median(of_size[size]) for size in sizes]
        cells = "".join(f"{median:>12.2f}" for median in medians)
        print(f"{step:12}{cells}{medians[-1] / medians[0]:>14.2f}")


if __name__ == "__main__":
    main()
