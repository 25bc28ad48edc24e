"""Ask whether a site under small faults, one every few seconds, holds more and more.

Thirty codes a second for twenty minutes on PostgreSQL, with the workers or with threads. Nothing is
killed: each process must live to the end. Each second its threads, open files, memory and
connections to the database are noted in a CSV, and drawn at the end as an SVG. The verdict is flat
if, after the warm-up, the line of best fit of each grows by less than a bound till the end, and the
laws of chaos hold.

Ends with status 1 if it is not.
"""

import argparse
import csv
import itertools
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import cable, machines, plot, report, trial, watch
from benchmarks.cable import Cable
from benchmarks.faults.base import NO_ANSWER, Fault
from benchmarks.faults.databases import CHANNELS
from benchmarks.laws import Allowance
from benchmarks.plot import Series
from benchmarks.trial import Stage, Trial
from demo import machine

HOME = machine.ROOT / "var" / "soak"
WARM_UP = 0.2
"""Of the time, before what is measured counts."""

MAY_GROW = {"threads": 3.0, "files": 10.0, "rss_mb": 12.0, "connections": 5.0}
"""By the line of best fit, from the warm-up's end to the last second."""

CONNECTIONS = "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = '{}'"


class Soak(Fault):
    """Small faults, one every few seconds."""

    name = "soak"
    on = {"postgres": ("threads", "worker")}
    allowance = Allowance(statuses=NO_ANSWER, backlog_seconds=10)
    mail_every = 10
    patience_seconds = 60

    def __init__(self, minutes: float, rate: float, every_seconds: float) -> None:
        self._seconds = minutes * 60
        self._every_seconds = every_seconds
        self.rate = rate
        self._line: Cable
        self.noted: list[dict[str, float | str]] = []

    def prepare(self, stage: Stage) -> None:
        """Lay the lines of all to the mail server."""
        self._line = stage.mail_line()

    def befall(self, trial: Trial) -> None:
        """Do one harm after another, and note what each process holds."""
        until = time.monotonic() + self._seconds
        with self._noting(trial):
            for harm in itertools.cycle(self._harms(trial)):
                if time.monotonic() + self._every_seconds > until:
                    return
                time.sleep(self._every_seconds)
                harm()

    def _harms(self, trial: Trial) -> Iterator[Callable[[], object]]:
        yield lambda: trial.database.cut(trial.name)
        yield self._line.cut
        yield lambda: self._silence(2)
        yield lambda: self._close(2)
        yield lambda: _garbage(trial)
        yield lambda: self._slow(trial, 2)
        yield lambda: self._forget(3)

    def _silence(self, seconds: float) -> None:
        self._line.is_silent = True
        time.sleep(seconds)
        self._line.is_silent = False
        self._line.cut()

    def _close(self, seconds: float) -> None:
        self._line.down()
        time.sleep(seconds)
        self._line.up()

    def _forget(self, seconds: float) -> None:
        self._line.idle_seconds = 0.5
        time.sleep(seconds)
        self._line.idle_seconds = float("inf")
        self._line.cut()

    def _slow(self, trial: Trial, seconds: float) -> None:
        trial.site.delay.write_text("1")
        time.sleep(seconds)
        trial.site.delay.unlink()

    @contextmanager
    def _noting(self, trial: Trial) -> Iterator[None]:
        ending = threading.Event()
        thread = threading.Thread(target=self._note, args=(trial, ending), name="notes")
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def _note(self, trial: Trial, ending: threading.Event) -> None:
        began = time.monotonic()
        while not ending.wait(1):
            second = round(time.monotonic() - began)
            for pid, name in watch.processes(trial.site):
                if size := watch.size(pid):
                    held = {"threads": size.threads, "files": size.files, "rss_mb": size.rss_mb}
                    self._write(second, f"{name}-{pid}", **held)
            (row,) = trial.database.rows(trial.name, CONNECTIONS.format(trial.name))
            self._write(second, "database", connections=row["count"])

    def _write(self, second: int, process: str, **held: float) -> None:
        for what, value in held.items():
            self.noted.append(
                {"second": second, "process": process, "what": what, "value": round(value, 1)}
            )


def main() -> int:
    """Soak one engine. Returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it started ends with it
    options = arguments()
    soak = Soak(options.minutes, options.rate, options.every)
    home = HOME / options.engine
    home.mkdir(parents=True, exist_ok=True)
    with (
        cable.loop() as cables,
        machines.database("postgres") as database,
        tempfile.TemporaryDirectory() as scratch,
    ):
        seen, _ = trial.run(soak, options.engine, database, cables, Path(scratch) / "site")
    words = [*report.broken(seen), *grown(soak)]
    report.head()
    names = {"fault": "soak", "engine": options.engine, "database": "postgres"}
    report.show(report.result(seen, words, options.minutes * 60, **names))
    keep(soak, home)
    print("not flat" if words else "flat")
    return 1 if words else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=30, help="codes a second")
    parser.add_argument("--every", type=float, default=4, help="seconds between two faults")
    parser.add_argument("--engine", choices=Soak.on["postgres"], default="threads")
    return parser.parse_args()


def grown(soak: Soak) -> Iterator[str]:
    """Name what grew by more than it may."""
    for (process, what), points in lines(soak).items():
        last = points[-1][0]
        counted = [(at, value) for at, value in points if at >= last * WARM_UP]
        if len(counted) < 10:
            yield f"measure: {process} was seen for {len(counted)} seconds only"
            continue
        slope = statistics.linear_regression(*zip(*counted, strict=True)).slope
        if (growth := slope * (last - counted[0][0])) > MAY_GROW[what]:
            yield f"grown: {process} by {growth:.1f} {what}"


def lines(soak: Soak) -> dict[tuple[str, str], Series]:
    """Give what was noted, by process and kind."""
    found: dict[tuple[str, str], Series] = defaultdict(list)
    for note in soak.noted:
        point = (float(note["second"]), float(note["value"]))
        found[str(note["process"]), str(note["what"])].append(point)
    return dict(found)


def keep(soak: Soak, home: Path) -> None:
    """Write the CSV and the drawing."""
    with (home / "soak.csv").open("w") as out:
        writer = csv.DictWriter(out, ["second", "process", "what", "value"])
        writer.writeheader()
        writer.writerows(soak.noted)
    panels: dict[str, dict[str, Series]] = {what: {} for what in MAY_GROW}
    for (process, what), points in lines(soak).items():
        panels[what][process] = points
    (home / "soak.svg").write_text(plot.svg(panels))
    print(f"written: {home}/soak.csv and soak.svg")


def _garbage(trial: Trial) -> None:
    for channel in CHANNELS:
        trial.database.execute(trial.name, f"SELECT pg_notify('{channel}', 'no id')")


if __name__ == "__main__":
    sys.exit(main())
