"""The laws of the chaos benchmark notice what they forbid."""

from types import SimpleNamespace

import pytest

from benchmarks import laws
from benchmarks.laws import Allowance, Seen
from benchmarks.load import Asked

ASKED = Asked(key="one", begun_at=0, took_ms=5, status=201, transfer="t1")


def row(**changes):
    columns = {"transfer": "t1", "message_id": "m1", "state": "accepted", "reason": ""}
    columns |= {"created_at": 100.0, "deadline": 200.0, "settled_at": 101.0, "unknown": 0}
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


AFTER = Asked(key="two", begun_at=120, took_ms=5, status=201, transfer="t2")
FAILED = {"took_ms": 5, "status": 503}


def after(*rows, **changes):
    """Nothing is allowed; the fault lasted from 100 to 110."""
    told = {"asked": [ASKED], "taken": {"m1": [101.0]}, "kills": [], "allowance": Allowance()}
    told |= {"began": 100, "over": 110} | changes
    return Seen(deliveries={row.transfer: row for row in rows}, **told)


def second(**changes):
    return row(**{"transfer": "t2", "message_id": "m2", "created_at": 120.0} | changes)


@pytest.mark.parametrize(
    "kept",
    [
        after(row()),
        after(row(), second(), asked=[ASKED, AFTER], taken={"m1": [101.0], "m2": [121.9]}),
        after(
            asked=[Asked(key="one", begun_at=105, **FAILED)],
            taken={},
            allowance=Allowance(statuses=frozenset({503})),
        ),
        after(
            row(state="failed", reason="gave up"), taken={}, allowance=Allowance(lets_give_up=True)
        ),
        after(row(), taken={"m1": [101.0, 111.0]}, stops=[(101.2, 110.5)]),
        after(row(settled_at=118.0)),
        after(asked=[Asked(key="one", begun_at=89, **FAILED)], taken={}, warm_at=90),
    ],
    ids=[
        "well",
        "in time",
        "refused while it lasts",
        "may give up",
        "stood still",
        "backlog",
        "boots",
    ],
)
def test_site_that_bears_a_fault_breaks_no_law(kept):
    assert broken(kept) == []


@pytest.mark.parametrize(
    ("broke", "law"),
    [
        (after(row(state="failed", reason="gave up"), taken={}), "given_up"),
        (after(row(), ended=["worker0 ended by itself"]), "ended"),
        (after(asked=[Asked(key="one", begun_at=105, **FAILED)], taken={}), "not_answered"),
        (
            after(
                asked=[Asked(key="one", begun_at=111, **FAILED)],
                taken={},
                allowance=Allowance(statuses=frozenset({503})),
            ),
            "not_answered",
        ),
        (
            after(row(), second(), asked=[ASKED, AFTER], taken={"m1": [101.0], "m2": [122.1]}),
            "slow_after",
        ),
        (after(row(settled_at=120.0)), "backlog_left"),
        (after(row(), taken={"m1": [101.0, 111.0]}, stops=[(90, 99)]), "doubled_without_doubt"),
        (
            after(
                row(created_at=100.0),
                second(created_at=101.0),
                taken={"m1": [101.0], "m2": [109.0]},
                asked=[ASKED, AFTER],
                allowance=Allowance(code_seconds=4),
            ),
            "slow",
        ),
    ],
    ids=[
        *("given up", "ended", "refused", "refused after it", "slow after it", "backlog left"),
        *("doubled long after a stop", "slow while it lasts"),
    ],
)
def test_site_that_breaks_under_a_fault_is_noticed(broke, law):
    assert broken(broke) == [law]


def test_stop_excuses_as_many_doubles_as_a_process_has_couriers():
    mails = [row(transfer=f"t{n}", message_id=f"m{n}") for n in range(laws.A_STOP_DOUBLES + 1)]
    asked = [
        Asked(key=str(n), begun_at=0, took_ms=5, status=201, transfer=f"t{n}") for n in range(9)
    ]
    told = after(
        *mails,
        asked=asked,
        taken={mail.message_id: [101.0, 111.0] for mail in mails},
        stops=[(101.2, 110.5)],
    )
    assert broken(told) == ["doubled_without_doubt"]
    assert len(list(laws.doubled_without_doubt(told))) == 1
