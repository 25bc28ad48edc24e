"""What a storm must not do: the laws of chaos, each the broken promises that it finds.

In: what clients were answered, rows, when mails were taken, when processes were killed.
Out: a sentence for each promise that was broken.
Knows nothing of: databases, engines, storms.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.load import Asked

ON_ITS_WAY_SECONDS = 0.5
"""What a courier wrote in time, or before its death, a busy mail server reads a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known in the end. ``taken`` are the times at which each Message-ID was taken."""

    asked: list[Asked]
    deliveries: dict[str, Any]
    taken: dict[str, list[float]]
    kills: list[float]


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


ALL = (lost, late, doubled_without_doubt, done_twice)
