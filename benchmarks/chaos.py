"""Ask whether a promise is lost, doubled or late when what it stands on misbehaves, under load.

Each trial is one fault on one engine and one database: a site of two kiosks, two workers and a
mail server, each a real process, on a database server of the trial's own. Requests come at a steady
rate before the fault, while it lasts, and after it. Then all is left alone until every mail is
settled, and the laws (`benchmarks.laws`) are held against what clients were answered, what the mail
server took and what the rows say: nothing is lost, or mailed when it is of no use any more; a mail
is doubled only where a process died or an outcome was unknown; no process ends by itself; requests
fail only where the fault allows it; what is asked for after it is mailed within two seconds.

Ends with status 1 if one of them is broken. The table is written to ``var/chaos`` as Markdown and
JSON, beside what the processes wrote.
"""

import argparse
import itertools
import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing import Queue
from pathlib import Path

from benchmarks import cable, faults, machines, report, trial
from benchmarks.databases import Database
from benchmarks.faults.base import Fault
from benchmarks.report import Result
from benchmarks.site import SETUPS
from demo import machine

HOME = machine.ROOT / "var" / "chaos"

type Case = tuple[type[Fault], str, str]


def main() -> int:
    """Run all trials that were asked for. Returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it started ends with it
    options = arguments()
    if options.list:
        for fault in faults.ALL:
            print(f"{fault.name:20}{(fault.__doc__ or '').splitlines()[0]}")
        return 0
    rows = list(results(list(cases(options)), 1 if options.short else options.shards))
    report.write(rows, HOME)
    broken = sum(len(row.broken) for row in rows)
    print(f"\n{len(rows)} trials, promises broken: {broken}")
    return 1 if broken or not rows else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [fault.name for fault in faults.ALL]
    parser.add_argument("--fault", action="append", choices=names, help="may be repeated")
    parser.add_argument("--engine", action="append", choices=[*SETUPS])
    parser.add_argument("--database", action="append", choices=[*machines.KINDS])
    parser.add_argument("--short", action="store_true", help="what CI runs, in about 90 s")
    parser.add_argument("--shards", type=int, default=2, help="trials at once (one with --short)")
    parser.add_argument("--list", action="store_true", help="name the faults")
    return parser.parse_args()


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Choose the trials, those on one database together, and say which cannot run here."""
    for kind in machines.KINDS:
        for fault in faults.ALL:
            chosen = fault.short if options.short else fault.on
            for engine in chosen.get(kind, ()):
                names = (fault.name, engine, kind)
                asked = (options.fault, options.engine, options.database)
                if all(map(_is_asked, names, asked)) and _can_run(fault, engine, kind):
                    yield fault, engine, kind


def _is_asked(name: str, chosen: list[str] | None) -> bool:
    return not chosen or name in chosen


def _can_run(fault: type[Fault], engine: str, kind: str) -> bool:
    why_not = fault.why_not()
    if not machines.is_there(kind):
        why_not = f"no {kind} on this machine"
    if not machines.broker_is_there(engine):
        why_not = f"no broker for {engine} on this machine"
    if why_not:
        print(f"left out: {fault.name} {engine} {kind}: {why_not}")
    return not why_not


def results(chosen: list[Case], shards: int) -> Iterator[Result]:
    """Run them in so many shards, each on servers of its own, and print each row as it comes.

    Most of a trial is waiting, so two at once disturb each other little.
    """
    report.head()
    rows: Queue[Result | None] = multiprocessing.Queue()
    share = max(1, -(-len(chosen) // shards))
    running = [
        multiprocessing.Process(target=_shard, args=(of_shard, rows))
        for of_shard in itertools.batched(chosen, share)
    ]
    try:
        for process in running:
            process.start()
        for _ in running:
            for row in iter(rows.get, None):
                report.show(row)
                yield row
    finally:
        for process in running:
            process.terminate()  # as an interrupt: what it started ends with it
            process.join()


def _shard(chosen: Sequence[Case], rows: "Queue[Result | None]") -> None:
    """Run trials one by one, one database server at a time."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with cable.loop() as cables:
            for kind, of_kind in itertools.groupby(chosen, key=lambda case: case[2]):
                with machines.database(kind) as database:
                    for fault, engine, _ in of_kind:
                        rows.put(judged(fault(), engine, database, cables))
    except Exception as error:  # noqa: BLE001 - the other shard is of use without this one
        traceback.print_exc()
        names = {"fault": "the site's start", "engine": "", "database": kind}
        rows.put(Result(**names, broken=(f"trial: the site could not be set up: {error!r}",)))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is said
    rows.put(None)


def judged(fault: Fault, engine: str, database: Database, cables: cable.Loop) -> Result:
    """Run one trial and count what came of it."""
    names = {"fault": fault.name, "engine": engine, "database": database.kind}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "site"
        try:
            seen, over = trial.run(fault, engine, database, cables, home)
        except Exception as error:  # noqa: BLE001 - the other trials are of use without it
            traceback.print_exc()
            return Result(**names, broken=(f"trial: it could not be held: {error!r}",))
        finally:
            ignore = shutil.ignore_patterns("*.sqlite3*")
            kept = HOME / "-".join(names.values())
            shutil.rmtree(kept, ignore_errors=True)
            if home.exists():
                shutil.copytree(home, kept, ignore=ignore)
        words = [*report.broken(seen), *fault.laws(over, seen)]
    took = round(time.monotonic() - begun, 1)
    return report.result(seen, words, took=took, **names)


if __name__ == "__main__":
    sys.exit(main())
