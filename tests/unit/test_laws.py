"""The laws of the chaos benchmark notice what they forbid."""

from types import SimpleNamespace

import pytest

from benchmarks import laws
from benchmarks.laws import Seen
from benchmarks.load import Asked

ASKED = Asked(key="one", begun_at=0, took_ms=5, status=201, transfer="t1")


def row(**changes):
    columns = {"transfer": "t1", "message_id": "m1", "state": "accepted", "reason": ""}
    columns |= {"created_at": 100.0, "deadline": 200.0, "unknown": 0}
    return SimpleNamespace(**columns | changes)


def seen(*rows, asked=(ASKED,), taken=None, kills=()):
    return Seen(
        asked=list(asked),
        deliveries={row.transfer: row for row in rows},
        taken={"m1": [101.0]} if taken is None else taken,
        kills=list(kills),
    )


def broken(seen):
    return [law.__name__ for law in laws.ALL if list(law(seen))]


@pytest.mark.parametrize(
    "kept",
    [
        seen(row()),
        seen(row(state="failed", reason="gave up"), taken={}),
        seen(row(), taken={"m1": [101.0, 103.0]}, kills=[100.9]),
        seen(row(unknown=1), taken={"m1": [101.0, 103.0]}),
        seen(asked=[Asked(key="one", begun_at=0, took_ms=5, status=503)], taken={}),
    ],
    ids=["accepted", "given up", "doubled by a death", "doubled by a doubt", "never promised"],
)
def test_kept_promise_breaks_no_law(kept):
    assert broken(kept) == []


@pytest.mark.parametrize(
    ("broke", "law"),
    [
        (seen(taken={}), "lost"),
        (seen(row(), taken={}), "lost"),
        (seen(row(state="queued"), taken={}), "lost"),
        (seen(row(), taken={"m1": [201.0]}), "late"),
        (seen(row(), taken={"m1": [101.0, 103.0]}), "doubled_without_doubt"),
        (seen(row(), taken={"m1": [101.0, 103.0]}, kills=[99.0]), "doubled_without_doubt"),
        (
            seen(row(), row(transfer="t2", message_id="m2", state="failed", reason="x")),
            "done_twice",
        ),
    ],
    ids=["no row", "no mail", "waits", "late", "doubled", "death long before", "two transfers"],
)
def test_broken_promise_is_noticed(broke, law):
    assert broken(broke) == [law]
