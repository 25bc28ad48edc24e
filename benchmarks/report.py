"""What a storm came to: a table of counts, and each promise that was broken.

In: what clients were answered, a database's URL, a mail server's journal, when processes were
killed. Out: the table, and whether the laws held.
Knows nothing of: engines, storms.
"""

import json
import statistics
import time
from collections import Counter, defaultdict
from pathlib import Path

import psycopg
from psycopg.rows import namedtuple_row

from benchmarks import laws
from benchmarks.laws import Seen
from benchmarks.load import Asked

QUIET_SECONDS = 120
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


def judge(name: str, url: str, asked: list[Asked], journal: Path, kills: list[float]) -> bool:
    """Print what was seen, and tell whether the laws held."""
    taken: dict[str, list[float]] = defaultdict(list)
    for line in journal.read_text().splitlines():
        mail = json.loads(line)
        taken[mail["message_id"]].append(mail["accepted_at"])
    with psycopg.connect(url, row_factory=namedtuple_row) as database:
        rows = {row.transfer: row for row in database.execute(DELIVERIES)}
    seen = Seen(asked=asked, deliveries=rows, taken=taken, kills=kills)
    broken = [words for law in laws.ALL for words in law(seen)]
    show(name, counted(seen) | {"laws broken": len(broken)})
    for words in broken:
        print(f"  {words}")
    return not broken


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
