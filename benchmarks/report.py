"""What a trial came to: a row of counts, and each promise that was broken.

In: a trial that is over. Out: what was seen, its counts, tables.
Knows nothing of: engines, what befell.
"""

import json
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from benchmarks import laws
from benchmarks.databases import Row, seconds_of
from benchmarks.laws import Allowance, Seen

if TYPE_CHECKING:
    from benchmarks.faults.base import Fault
    from benchmarks.trial import Trial

QUIET_SECONDS = 120
SWEEP_SECONDS = "OTPMAIL_SWEEP_SECONDS"
SHOWN = 3
"""Broken promises of one law that are printed."""

WAITING = "SELECT count(*) AS waiting FROM otpmail_delivery WHERE state = 'queued'"
DELIVERIES = """
    SELECT t.id AS transfer, d.queue, d.message_id, d.state, d.reason, d.created_at, d.settled_at,
        d.deadline, (SELECT count(*) FROM otpmail_attempt a WHERE a.delivery_id = d.id
            AND a.outcome = 'unknown') AS unknowns
    FROM otpmail_delivery d LEFT JOIN mobile_api_transfer t ON d.challenge_id = t.challenge_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A row of the outbox. Times are seconds since 1970."""

    transfer: str
    message_id: str
    state: str
    reason: str
    created_at: float
    settled_at: float | None
    deadline: float
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A row of the table. ``slowest_after`` and ``drained`` are seconds, from the fault's end."""

    fault: str
    engine: str
    database: str
    asked: int = 0
    not_answered: int = 0
    enqueued: int = 0
    accepted: int = 0
    dropped: int = 0
    doubled: int = 0
    unknown: int = 0
    killed: int = 0
    ended: int = 0
    slowest: float = 0
    slowest_after: float = 0
    drained: float = 0
    took: float = 0
    broken: tuple[str, ...] = ()


def wait_until_settled(url: str) -> None:
    """Leave a PostgreSQL database alone until no mail waits any more, or the patience ends."""
    until = time.monotonic() + QUIET_SECONDS
    with psycopg.connect(url, autocommit=True) as database:
        while database.execute(WAITING).fetchone() != (0,) and time.monotonic() < until:
            time.sleep(0.2)


def seen(trial: "Trial", fault: "Fault") -> Seen:
    """Gather what is known."""
    rows = map(_delivery, trial.database.rows(trial.name, DELIVERIES))
    return Seen(
        asked=list(trial.load.asked),
        deliveries={row.transfer or row.message_id: row for row in rows},
        taken=taken(trial.site.journal),
        kills=trial.kills,
        warm_at=trial.warm_at,
        began=trial.began,
        over=trial.over,
        stops=trial.stops,
        ended=list(trial.watch.ended),
        sweep_seconds=float(trial.stage.environment[SWEEP_SECONDS]),
        allowance=allowance(trial, fault),
    )


def allowance(trial: "Trial", fault: "Fault") -> Allowance:
    """Give the fault's; where workers were started anew, kiosks wait two sweeps for them."""
    seconds = fault.allowance.after_seconds
    if seconds is None or not trial.watch.restarts:
        return fault.allowance
    sweep_seconds = float(trial.stage.environment[SWEEP_SECONDS])
    return replace(fault.allowance, after_seconds=seconds + 2 * sweep_seconds)


def taken(journal: Path) -> dict[str, list[float]]:
    """Read when the mail server took each Message-ID."""
    times: dict[str, list[float]] = defaultdict(list)
    for line in journal.read_text().splitlines():
        mail = json.loads(line)
        times[mail["message_id"]].append(mail["accepted_at"])
    return dict(times)


def broken(seen: Seen) -> list[str]:
    """Name each promise that was broken, with its law."""
    return [f"{law.__name__}: {words}" for law in laws.ALL for words in law(seen)]


def result(seen: Seen, words: list[str], took: float, **names: str) -> Result:
    """Count what the table shows."""
    rows = seen.deliveries.values()
    waits = [
        seen.taken[row.message_id][0] - row.created_at
        for row in rows
        if row.message_id in seen.taken
    ]
    settled = [
        row.settled_at - seen.over for row in rows if row.created_at < seen.over and row.settled_at
    ]
    return Result(
        **names,
        asked=len(seen.asked),
        not_answered=sum(asked.has_failed for asked in seen.asked),
        enqueued=len(rows),
        accepted=sum(row.state == "accepted" for row in rows),
        dropped=sum(row.state in {"dropped", "failed"} for row in rows),
        doubled=sum(len(times) > 1 for times in seen.taken.values()),
        unknown=sum(row.unknown for row in rows),
        killed=len(seen.kills),
        ended=len(seen.ended),
        slowest=round(max(waits, default=0), 2),
        slowest_after=round(max((s for s, _ in seen.waits_after()), default=0), 2),
        drained=round(max(0.0, *settled) if settled else 0, 2),
        took=took,
        broken=tuple(words),
    )


COLUMNS = (
    *("fault", "engine", "database", "asked", "not answered", "accepted", "dropped", "doubled"),
    *("unknown", "killed", "ended", "slowest s", "after s", "drained s", "laws broken"),
)


def cells(row: Result) -> list[str]:
    """Give a row of the table in words."""
    by_law = Counter(words.partition(":")[0] for words in row.broken)
    return [
        *(row.fault, row.engine, row.database),
        *map(str, (row.asked, row.not_answered, row.accepted, row.dropped, row.doubled)),
        *map(str, (row.unknown, row.killed, row.ended)),
        *(f"{row.slowest:.2f}", f"{row.slowest_after:.2f}", f"{row.drained:.2f}"),
        ", ".join(f"{law} {count}" for law, count in by_law.items()) or "0",
    ]


def show(row: Result) -> None:
    """Print a row as soon as it is known, and the first promises that it broke of each law."""
    name, engine, database, *counts, laws_broken = cells(row)
    print(f"{name:20}{engine:16}{database:9}" + "".join(f"{cell:>9}" for cell in counts), end="")
    print(f"   {laws_broken}", flush=True)
    shown: Counter[str] = Counter()
    for words in row.broken:
        law = words.partition(":")[0]
        shown[law] += 1
        if shown[law] <= SHOWN:
            print(f"    {words}", flush=True)


def head() -> None:
    """Print the head of the table."""
    fault, engine, database, *counts, laws_broken = COLUMNS
    short = [column.replace("not answered", "no answer") for column in counts]
    print(f"{fault:20}{engine:16}{database:9}" + "".join(f"{cell:>9.9}" for cell in short), end="")
    print(f"   {laws_broken}", flush=True)


def write(rows: list[Result], home: Path) -> None:
    """Write the table in Markdown and in JSON."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [COLUMNS, ["---"] * 3 + ["--:"] * (len(COLUMNS) - 4) + ["---"], *map(cells, rows)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (home / "report.md").write_text(table)
    (home / "report.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def _delivery(row: Row) -> Delivery:
    return Delivery(
        transfer=str(UUID(str(row["transfer"]))) if row["transfer"] else "",
        message_id=row["message_id"],
        state=row["state"],
        reason=row["reason"],
        created_at=seconds_of(row["created_at"]),
        settled_at=seconds_of(row["settled_at"]) if row["settled_at"] else None,
        deadline=seconds_of(row["deadline"]),
        unknown=int(row["unknowns"]),
    )
