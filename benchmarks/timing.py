"""Whether the time of an answer tells a stranger that a challenge exists.

    .venv/bin/python -m benchmarks.timing [--requests 2000]

Mallory asks for challenges that there are not, and for Alice's, in random order, through the
kiosk's API in this process, where no network hides anything, and of the library itself. Told is
the chance that of one request of each kind the second took longer (AUC): 0.5 is a coin.
"""

import argparse
import contextlib
import logging
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from uuid import UUID

type Ask = Callable[[UUID], object]


def times_of(ask: Ask, unknown: list[UUID], others: list[UUID]) -> tuple[list[int], list[int]]:
    """Ask for all, in random order; give nanoseconds of each kind."""
    kinds: tuple[list[int], list[int]] = ([], [])
    order = [(0, name) for name in unknown] + [(1, name) for name in others]
    random.shuffle(order)
    for kind, name in order:
        began = time.perf_counter_ns()
        ask(name)
        kinds[kind].append(time.perf_counter_ns() - began)
    return kinds


def auc(first: list[int], second: list[int]) -> float:
    """Give the chance that one of the second is above one of the first (Mann-Whitney)."""
    marked = sorted([(t, 0) for t in first] + [(t, 1) for t in second])
    below, wins = 0, 0.0
    for _, tied in groupby(marked, key=lambda pair: pair[0]):
        counts = [0, 0]
        for _, kind in tied:
            counts[kind] += 1
        wins += counts[1] * (below + counts[0] / 2)
        below += counts[0]
    return wins / (len(first) * len(second))


def longer(first: list[int], second: list[int]) -> float:
    """Give how much longer the second usually takes (medians), as a part of the first."""
    return statistics.median(second) / statistics.median(first) - 1


def spread(count: int) -> float:
    """Give one standard deviation of the AUC of so many equal samples of each kind."""
    return float((2 * count + 1) ** 0.5 / (12**0.5 * count))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Time unknown and others' challenges.")
    parser.add_argument("--requests", type=int, default=2000, help="of each kind")
    count = parser.parse_args().requests
    with _database():
        from benchmarks import strangers

        logging.disable(logging.CRITICAL)  # of each answer
        print(f"{count} requests of each kind; a coin is 0.5, give or take {2 * spread(count):.3f}")
        for name, ask, unknown, others in strangers.questions(count):
            times_of(ask, unknown[:100], others[:100])  # what is made once is made now
            kinds = times_of(ask, unknown, others)
            p50 = [statistics.median(kind) / 1000 for kind in kinds]
            print(f"{name}: {auc(*kinds):.3f}  (p50 {p50[0]:.1f} and {p50[1]:.1f} µs)")


@contextlib.contextmanager
def _database() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        os.environ["DATABASE_URL"] = f"sqlite:///{home}/timing.sqlite3"
        import django
        from django.core.management import call_command
        from django.test.utils import setup_test_environment

        django.setup()
        setup_test_environment()
        call_command("migrate", verbosity=0)
        yield


if __name__ == "__main__":
    main()
