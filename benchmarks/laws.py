"""Whether promises were kept: what was answered, against database and journal.

In: what clients were answered, a database's URL, a journal, when processes were killed.
Out: a table of counts, and each promise that was broken.
Knows nothing of: engines, storms.
"""

import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from benchmarks.load import Asked

QUIET_SECONDS = 120
ON_ITS_WAY_SECONDS = 0.5
"""What a courier wrote in time, or before its death, a busy mail server reads a moment later."""

WAITING = "SELECT count(*) FROM otpmail_delivery WHERE state = 'queued'"
DELIVERIES = """
    SELECT t.id::text AS transfer, d.message_id, d.state, d.reason,
        extract(epoch FROM d.created_at)::float AS created_at,
        extract(epoch FROM d.deadline)::float AS deadline,
        (SELECT count(*) FROM otpmail_attempt a WHERE a.delivery_id = d.id
            AND a.outcome = 'unknown') AS unknown
    FROM mobile_api_transfer t JOIN otpmail_delivery d ON d.challenge_id = t.challenge_id"""


def wait_until_settled(url: str) -> None:
    """Leave all alone until no mail waits any more, or the patience ends."""
    until = time.monotonic() + QUIET_SECONDS
    with psycopg.connect(url, autocommit=True) as database:
        while database.execute(WAITING).fetchone() != (0,) and time.monotonic() < until:
            time.sleep(0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known in the end. ``taken`` are the times at which each Message-ID was taken."""

    asked: list[Asked]
    deliveries: dict[str, Any]
    taken: dict[str, list[float]]
    kills: list[float]


def judge(name: str, url: str, asked: list[Asked], journal: Path, kills: list[float]) -> bool:
    """Print what was seen, and tell whether the laws held."""
    taken: dict[str, list[float]] = defaultdict(list)
    for line in journal.read_text().splitlines():
        mail = json.loads(line)
        taken[mail["message_id"]].append(mail["accepted_at"])
    with psycopg.connect(url, row_factory=namedtuple_row) as database:
        rows = {row.transfer: row for row in database.execute(DELIVERIES)}
    seen = Seen(asked=asked, deliveries=rows, taken=taken, kills=kills)
    broken = [*lost(seen), *late(seen), *doubled_without_doubt(seen), *done_twice(seen)]
    show(name, counted(seen) | {"laws broken": len(broken)})
    for words in broken:
        print(f"  {words}")
    return not broken


def lost(seen: Seen) -> Iterator[str]:
    """Law 1: what was answered is accepted, or has its reason. Others' rows obey it too."""
    promised = {asked.transfer for asked in seen.asked if asked.is_promised}
    yield from (f"no row: {transfer}" for transfer in promised - seen.deliveries.keys())
    for row in seen.deliveries.values():
        if row.state == "accepted" and row.message_id not in seen.taken:
            yield f"said to be accepted, and no server has it: {row.message_id}"
        if row.state != "accepted" and not row.reason:
            yield f"neither accepted nor given up: {row.message_id} is {row.state}"


def late(seen: Seen) -> Iterator[str]:
    """Law 2: none is written after its deadline."""
    for row in seen.deliveries.values():
        for at in seen.taken.get(row.message_id, []):
            if at > row.deadline + ON_ITS_WAY_SECONDS:
                yield f"taken {at - row.deadline:.3f} s after its deadline: {row.message_id}"


def doubled_without_doubt(seen: Seen) -> Iterator[str]:
    """Law 3: between the two times lies a courier's death, or an outcome was unknown."""
    for row in seen.deliveries.values():
        times = sorted(seen.taken.get(row.message_id, []))
        if len(times) < 2:
            continue
        since, until = times[0] - ON_ITS_WAY_SECONDS, times[-1]
        deaths = sum(since <= kill <= until for kill in seen.kills)
        if len(times) - 1 > deaths + row.unknown:
            yield f"doubled without a doubt: {row.message_id} at {times}"


def done_twice(seen: Seen) -> Iterator[str]:
    """Law 4: one key, one transfer."""
    transfers = defaultdict(set)
    for asked in seen.asked:
        if asked.is_promised:
            transfers[asked.key].add(asked.transfer)
    yield from (f"two transfers: {key}" for key, ids in transfers.items() if len(ids) > 1)
    if len(seen.deliveries) > len({asked.key for asked in seen.asked}):
        yield "more transfers than keys"


def counted(seen: Seen) -> dict[str, object]:
    """Count what the table shows."""
    answers = [asked.took_ms for asked in seen.asked if asked.is_promised]
    waits = [
        (seen.taken[row.message_id][0] - row.created_at) * 1000
        for row in seen.deliveries.values()
        if row.message_id in seen.taken
    ]
    ends = Counter(f"{row.state} {row.reason}".strip() for row in seen.deliveries.values())
    statuses = Counter(str(asked.status or "no answer") for asked in seen.asked)
    return {
        "requests": len(seen.asked),
        **{f"  answered {status}": count for status, count in sorted(statuses.items())},
        "processes killed": len(seen.kills),
        "promises in the database": len(seen.deliveries),
        **{f"  {end}": count for end, count in sorted(ends.items())},
        "mails taken by the server": sum(map(len, seen.taken.values())),
        "  twice or more": sum(len(times) > 1 for times in seen.taken.values()),
        "unknown outcomes": sum(row.unknown for row in seen.deliveries.values()),
        "answer, ms": spread(answers),
        "mail taken after, ms": spread(waits),
    }


def spread(times: list[float]) -> str:
    """Show a median, a 99th percentile and the largest."""
    if len(times) < 2:
        return "-"
    p99 = statistics.quantiles(times, n=100)[98]
    return f"p50 {statistics.median(times):.0f}, p99 {p99:.0f}, max {max(times):.0f}"


def show(name: str, counts: dict[str, object]) -> None:
    """Print a table."""
    print(f"\n{name}")
    for what, count in counts.items():
        print(f"  {what:30}{count:>10}")
