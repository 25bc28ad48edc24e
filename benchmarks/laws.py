"""What a fault must not do: the laws of chaos, each the broken promises that it finds.

In: what clients were answered, rows, when mails were taken, what befell the site and when.
Out: a sentence for each promise that was broken.
Knows nothing of: databases, engines, faults.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load import Asked

ON_ITS_WAY_SECONDS = 0.5
"""What a courier wrote in time, or before its death, a busy mail server reads a moment later."""

RETRY_SECONDS = 6.6
"""The longest pause between two attempts (`OTPMAIL_RETRY_SECONDS`), with its tenth more."""

DRAINED_A_SECOND = 20
"""Codes that a site on two cores sends at least, beside the load that goes on."""

A_STOP_DOUBLES = 8
"""Mails in the hands of one process: one a courier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a fault may do to a site.

    ``statuses``: answers of 5xx, or none, to requests that it hits. ``lets_give_up``: mails that
    were not taken may end with a reason. ``code_seconds``: all but one code in a hundred are taken
    by then, while it lasts too. ``after_seconds``: those asked for after it are taken by then.
    ``backlog_seconds``: what it left is done so much later than the arithmetic says.
    """

    statuses: frozenset[int | None] = frozenset()
    lets_give_up: bool = False
    code_seconds: float | None = None
    after_seconds: float | None = 2
    backlog_seconds: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known in the end. ``taken`` are the times at which each Message-ID was taken.

    The site was warm at ``warm_at``: what its codes took from then on is usual on this machine.
    The fault lasted from ``began`` to ``over``. In each of ``stops`` a process stood still;
    ``ended`` tells of processes that ended by themselves.
    """

    asked: list[Asked]
    deliveries: dict[str, Any]
    taken: dict[str, list[float]]
    kills: list[float]
    warm_at: float = 0
    began: float = 0
    over: float = 0
    stops: list[tuple[float, float]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    sweep_seconds: float = 1
    allowance: Allowance = Allowance(statuses=frozenset({500, 503, None}), lets_give_up=True)

    @property
    def usual_seconds(self) -> float:
        """What the slowest code took before the fault: a machine that is busy has its own pace."""
        return max(
            (
                self.taken[row.message_id][0] - row.created_at
                for row in self.deliveries.values()
                if row.message_id in self.taken
                and self.warm_at <= row.created_at
                and self.taken[row.message_id][0] < self.began
            ),
            default=0.0,
        )

    def waits_after(self) -> list[tuple[float, str]]:
        """Give the seconds that each code took that was enqueued after the fault."""
        first: dict[str, Asked] = {}
        for asked in self.asked:
            row = self.deliveries.get(asked.transfer)
            if asked.is_enqueued and row and self.over <= min(asked.begun_at, row.created_at):
                first.setdefault(row.message_id, asked)
        return [
            (self.taken[message_id][0] - asked.begun_at, message_id)
            for message_id, asked in first.items()
            if message_id in self.taken
        ]


def lost(seen: Seen) -> Iterator[str]:
    """Law 1: what was answered is accepted, or has its reason. Others' rows obey it too."""
    enqueued = {asked.transfer for asked in seen.asked if asked.is_enqueued}
    yield from (f"no row: {transfer}" for transfer in enqueued - seen.deliveries.keys())
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
    """Law 3: between the two times lies a courier's death, or an outcome was unknown.

    A process that stood still in between may have had as many in hand as it has couriers.
    """
    by_stop: dict[int, int] = defaultdict(int)
    for row in seen.deliveries.values():
        times = sorted(seen.taken.get(row.message_id, []))
        if len(times) < 2:
            continue
        since, until = times[0] - ON_ITS_WAY_SECONDS, times[-1]
        excused = row.unknown + sum(since <= kill <= until for kill in seen.kills)
        for number, (stopped, went_on) in enumerate(seen.stops):
            stood = since <= went_on + ON_ITS_WAY_SECONDS and stopped <= until
            if stood and len(times) - 1 > excused:
                by_stop[number] += 1
                excused += by_stop[number] <= A_STOP_DOUBLES
        if len(times) - 1 > excused:
            yield f"doubled without a doubt: {row.message_id} at {times}"


def done_twice(seen: Seen) -> Iterator[str]:
    """Law 4: one key, one transfer."""
    transfers = defaultdict(set)
    for asked in seen.asked:
        if asked.is_enqueued:
            transfers[asked.key].add(asked.transfer)
    yield from (f"two transfers: {key}" for key, ids in transfers.items() if len(ids) > 1)
    made = sum(row.transfer != "" for row in seen.deliveries.values())
    if made > len({asked.key for asked in seen.asked}):
        yield "more transfers than keys"


def given_up(seen: Seen) -> Iterator[str]:
    """Law 5: a mail is given up only where the fault outlasts it."""
    if not seen.allowance.lets_give_up:
        for row in seen.deliveries.values():
            if row.state in {"failed", "dropped"}:
                yield f"given up for no need: {row.message_id} is {row.state}, {row.reason}"


def ended(seen: Seen) -> Iterator[str]:
    """Law 6: no process ends by itself."""
    yield from seen.ended


def not_answered(seen: Seen) -> Iterator[str]:
    """Law 7: once the site is warm, a request fails only while the fault lasts, as it allows."""
    for asked in seen.asked:
        if asked.begun_at < seen.warm_at:
            continue
        until = asked.begun_at + asked.took_ms / 1000
        is_hit = asked.begun_at <= seen.over and until >= seen.began
        if asked.has_failed and not (is_hit and asked.status in seen.allowance.statuses):
            answer = f"answered {asked.status}" if asked.status else "not answered"
            yield f"{asked.key} was {answer}, {asked.begun_at - seen.over:+.1f} s after the fault"


def slow_after(seen: Seen) -> Iterator[str]:
    """Law 8: a code that is asked for after the fault is taken within so many seconds."""
    most = seen.allowance.after_seconds
    if seen.over and most is not None:
        for seconds, message_id in seen.waits_after():
            if seconds > most + seen.usual_seconds:
                yield f"asked for after the fault, taken after {seconds:.1f} s: {message_id}"


def backlog_left(seen: Seen) -> Iterator[str]:
    """Law 9: what waited when the fault was over leaves as fast as the arithmetic says."""
    if not seen.over:
        return
    left = [row for row in seen.deliveries.values() if _waited(row, seen.over)]
    pace = len(left) / DRAINED_A_SECOND + 2 + seen.allowance.backlog_seconds
    most = RETRY_SECONDS + seen.sweep_seconds + pace
    for row in left:
        if row.settled_at is not None and row.settled_at > seen.over + most:
            after = row.settled_at - seen.over
            yield f"of {len(left)} that waited, settled after {after:.1f} s: {row.message_id}"


def slow(seen: Seen) -> Iterator[str]:
    """Law 10: where a fault need delay no code, all but one in a hundred are taken in time."""
    most = seen.allowance.code_seconds
    waits = [
        seen.taken[row.message_id][0] - row.created_at
        for row in seen.deliveries.values()
        if row.message_id in seen.taken and row.created_at >= seen.began
    ]
    if most is not None and len(waits) > 1:
        p99 = statistics.quantiles(waits, n=100, method="inclusive")[98]
        if p99 > most + seen.usual_seconds:
            yield f"one code in a hundred took more than {p99:.1f} s, of {len(waits)}"


def _waited(row: Any, at: float) -> bool:
    return bool(row.created_at < at and (row.settled_at is None or row.settled_at > at))


ALL = (
    lost,
    late,
    doubled_without_doubt,
    done_twice,
    given_up,
    ended,
    not_answered,
    slow_after,
    backlog_left,
    slow,
)
