"""What is over is ended by sweeps: of all processes together, each challenge once."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.models import Count

from otpmail import challenges, closing
from otpmail.crypto import keys
from otpmail.db import database
from otpmail.db.compat import uuid7
from otpmail.models import AuditEntry, Challenge, ChallengeState, Delivery
from otpmail.results import Cancelled, Ended, Verified
from otpmail.signals import challenge_ended
from otpmail.testing import live_code
from tests import rounds

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 60.0


@pytest.fixture(autouse=True)
def fresh_places(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    closing._places.after.clear()


def make(count: int, *, over_seconds: int = 10, **columns) -> list[Challenge]:
    """Challenges that were over so long ago, the first the longest."""
    now = database.now()
    rows = [
        Challenge(
            **{
                "id": uuid7(),
                "purpose": "sign-in",
                "owner": "alice",
                "recipient": "alice@example.org",
                "binding": bytes(32),
                "binding_version": 2,
                "key_id": keys.current().id,
                "nonce": bytes(16),
                "digits": 6,
                "created_at": now - timedelta(hours=2),
                "expires_at": now - timedelta(hours=1),
                "closes_at": now - timedelta(seconds=over_seconds + count - number),
                "resend_at": now,
            }
            | columns
        )
        for number in range(count)
    ]
    return Challenge.objects.bulk_create(rows)


@pytest.fixture
def ended():
    """Which challenges were ended, by which thread; ``hook`` is asked before each."""

    class Ended(list):
        hook = staticmethod(lambda challenge: None)

    told = Ended()

    def hear(challenge, **_):
        told.hook(challenge)
        told.append((challenge.pk, threading.get_ident()))

    challenge_ended.connect(hear)
    yield told
    challenge_ended.disconnect(hear)


def expire(seconds=LONG):
    return closing.expire(now=database.now(), seconds=seconds)


def together(*acts):
    """Do them at once, each on a connection of its own. Gives what each returned."""
    start = threading.Barrier(len(acts))

    def run(act):
        try:
            start.wait(30)
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(100) for future in [pool.submit(run, act) for act in acts]]


def states():
    return dict(Challenge.objects.values_list("state").annotate(Count("pk")).order_by())


def test_two_sweeps_share_a_thousand_and_end_each_once(ended):
    rows, both = make(1000), threading.Event()

    def wait_for_the_other(challenge):
        # The first to hold a batch goes on when the other has ended one of another batch.
        if {thread for _, thread in ended} - {threading.get_ident()}:
            both.set()
        elif ended:
            assert both.wait(60)

    if connection.features.has_select_for_update_skip_locked:
        ended.hook = wait_for_the_other
    assert together(expire, expire) == [False, False]
    assert sorted(pk for pk, _ in ended) == sorted(row.pk for row in rows)
    assert states() == {"expired": 1000}
    entries = Counter(AuditEntry.objects.values_list("challenge_id", "action"))
    assert entries == {(row.pk, "expired"): 1 for row in rows}
    if connection.features.has_select_for_update_skip_locked:
        assert len({thread for _, thread in ended}) == 2


def test_what_a_receiver_refuses_is_passed_over_and_met_once_a_sweep(ended):
    rows, refused = make(250), Counter()
    bad = {row.pk for row in rows[:3]} | {rows[120].pk}

    def refuse(challenge):
        if challenge.pk in bad:
            refused[challenge.pk] += 1
            raise RuntimeError

    ended.hook = refuse
    assert expire() is False
    assert refused == dict.fromkeys(bad, 1)
    assert states() == {"expired": 246, "pending": 4}
    assert AuditEntry.objects.filter(action="expired").count() == 246
    assert expire() is False
    assert refused == dict.fromkeys(bad, 2)


def test_a_sweep_that_has_no_time_ends_one_and_says_that_there_is_more(ended):
    make(3)
    assert [expire(seconds=0) for _ in range(3)] == [True, True, False]
    assert len(ended) == 3


def test_what_is_refused_at_the_head_starves_nobody_behind_it(ended):
    """However many they are, and though no sweep has the time to look at all of them."""
    rows = make(20)
    bad = {row.pk for row in rows[:15]}

    def refuse(challenge):
        if challenge.pk in bad:
            raise RuntimeError

    ended.hook = refuse
    more = [expire(seconds=0) for _ in range(20)]
    assert more == [False] * 15 + [True] * 4 + [
        False
    ]  # what cannot be ended is no reason to go on at once
    assert states() == {"expired": 5, "pending": 15}


def test_a_receiver_that_breaks_the_whole_transaction_holds_up_nobody(ended):
    """As MariaDB does by itself, when it finds a deadlock."""
    rows = make(5)

    def break_it(challenge):
        if challenge.pk == rows[2].pk:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
            raise RuntimeError

    ended.hook = break_it
    expire()
    assert states() == {"expired": 4, "pending": 1}
    assert AuditEntry.objects.filter(action="expired").count() == 4


def test_nothing_to_do_takes_no_lock(django_assert_num_queries):
    make(2, closes_at=database.now() + timedelta(hours=1))
    now = database.now()
    with django_assert_num_queries(1) as captured:
        assert closing.expire(now=now, seconds=LONG) is False
    assert "FOR UPDATE" not in captured[0]["sql"]
    with django_assert_num_queries(0):
        assert closing.revoke(now=now, seconds=LONG) is False


def test_revoked_keys_are_swept_in_the_same_way(ended, settings):
    make(150, key_id="stolen")
    make(2, key_id="merely unknown")
    make(1)
    settings.OTPMAIL_REVOKED_KEYS = ["stolen"]
    now = database.now()
    together(*[lambda: closing.revoke(now=now, seconds=LONG)] * 2)
    assert states() == {"cancelled": 150, "pending": 3}
    assert len(ended) == 150


def test_sweeps_meet_those_who_verify_and_cancel_and_nobody_is_hurt(ended):
    """All lock the challenge first, and then what it is bound to: here its delivery."""
    issued = [rounds.promise(owner=str(number)) for number in range(30)]
    typed = [live_code(one.challenge_id) for one in issued]
    later = database.now() + timedelta(hours=1)

    def bound(challenge, **_):
        Delivery.objects.filter(challenge=challenge).update(avoid_route=challenge.state)

    def verify():
        return [
            challenges.verify("sign-in", one.challenge_id, code, owner=str(number), confirmed=bound)
            for number, (one, code) in enumerate(zip(issued, typed, strict=True))
        ]

    def cancel():
        return [
            challenges.cancel("sign-in", issued[number].challenge_id, owner=str(number))
            for number in reversed(range(30))
        ]

    def sweep():
        while Challenge.objects.filter(state=ChallengeState.PENDING).exists():
            closing.expire(now=later, seconds=LONG)

    ended.hook = bound
    verified, cancelled, *_ = together(verify, cancel, sweep, sweep)
    assert {type(result) for result in verified} <= {Verified, Ended}
    assert len(ended) == len({pk for pk, _ in ended}) == 30
    ends = AuditEntry.objects.filter(action__in=["expired", "cancelled", "confirmed"])
    assert ends.count() == 30
    counts = states()
    assert counts.get("confirmed", 0) == sum(isinstance(result, Verified) for result in verified)
    assert counts.get("cancelled", 0) == sum(isinstance(r, Cancelled) for r in cancelled)
