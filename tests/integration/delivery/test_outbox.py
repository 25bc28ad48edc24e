from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from otpmail import challenges
from otpmail.db import database
from otpmail.delivery import holders, leases, settling
from otpmail.models import Attempt, Challenge, Delivery, DeliveryState, Queue, Reason

pytestmark = pytest.mark.django_db(transaction=True)

ME, OTHER = "elsewhere/1/1/me", "elsewhere/2/2/other"
ACCEPTED = settling.Disposition(DeliveryState.ACCEPTED)


@pytest.fixture
def delivery(settings) -> Delivery:
    """A promise that nobody has taken up."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    return Delivery.objects.get()


def later(seconds):
    return database.now() + timedelta(seconds=seconds)


def held(delivery, holder):
    return [one for one, _ in leases.read([delivery.pk], holder)]


def attempt(now):
    return Attempt(route="default", started_at=now, took_ms=1, outcome="accepted", code=250)


def test_due_delivery_is_claimed_once(delivery):
    now = database.now()
    assert list(leases.claim(ME, queue=Queue.CODE, now=now, limit=10)) == [delivery.pk]
    assert list(leases.claim(OTHER, queue=Queue.CODE, now=now, limit=10)) == []
    assert held(delivery, OTHER) == []
    assert held(delivery, ME) == [delivery]


def test_claim_that_cannot_take_all_codes_takes_the_youngest_and_few_of_the_oldest(delivery):
    for number in range(9):
        challenges.issue("sign-in", owner=f"{number}", recipient="alice@example.org")
    rows = list(Delivery.objects.order_by("due_at").values_list("pk", flat=True))
    claimed = leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=4)
    assert list(claimed) == [rows[0], *rows[-3:]]
    assert list(claimed.values()) == sorted(claimed.values(), reverse=True)


def test_delivery_that_is_not_due_is_not_claimed(delivery):
    assert list(leases.claim(ME, queue=Queue.CODE, now=later(-60), limit=10)) == []


def test_expired_lease_is_claimed_again(delivery):
    leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    assert leases.reap(now=later(59)) == []
    assert len(leases.reap(now=later(61))) == 1
    assert list(leases.claim(OTHER, queue=Queue.CODE, now=later(61), limit=1)) == [delivery.pk]


def test_renewed_lease_lasts(delivery):
    leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    leases.renew([delivery.pk], ME, now=later(50))
    assert leases.reap(now=later(100)) == []


def test_only_what_a_hint_named_is_claimed(delivery):
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    now = database.now()
    assert list(leases.claim(ME, queue=Queue.CODE, now=now, limit=10, only=[delivery.pk])) == [
        delivery.pk
    ]
    assert list(leases.claim(ME, queue=Queue.CODE, now=now, limit=10, only=[])) == []


def test_lease_that_runs_short_is_lengthened_before_work(delivery):
    """A row that waited in memory for 50 of its 60 seconds has 60 again."""
    leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    assert leases.extend_if_short(*held(delivery, ME), ME, now=later(50))
    assert leases.reap(now=later(100)) == []
    assert len(leases.reap(now=later(111))) == 1


def test_lease_that_was_lost_meanwhile_is_not_lengthened(delivery):
    leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    (mine,) = held(delivery, ME)
    leases.reap(now=later(61))
    leases.claim(OTHER, queue=Queue.CODE, now=later(61), limit=1)
    assert not leases.extend_if_short(mine, ME, now=later(61))
    assert Delivery.objects.get().leased_by == OTHER


def test_fresh_lease_costs_no_write(delivery, django_assert_num_queries):
    leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    (mine,) = held(delivery, ME)
    now = later(1)
    with django_assert_num_queries(0):
        assert leases.extend_if_short(mine, ME, now=now)


def test_lease_of_dead_process_is_reaped_at_once(delivery):
    host, pid, started, fence = holders.new().split("/")
    leases.claim(
        f"{host}/{pid}/{int(started) - 1}/{fence}", queue=Queue.CODE, now=database.now(), limit=1
    )
    assert len(leases.reap(now=database.now())) == 1


def test_lease_of_living_process_is_not_reaped(delivery):
    leases.claim(holders.new(), queue=Queue.CODE, now=database.now(), limit=1)
    assert leases.reap(now=database.now()) == []


def test_settling_is_fenced_by_the_lease(delivery):
    now = database.now()
    leases.claim(ME, queue=Queue.CODE, now=now, limit=1)
    leases.reap(now=later(61))
    leases.claim(OTHER, queue=Queue.CODE, now=later(61), limit=1)
    again = settling.Disposition(DeliveryState.QUEUED, wait_seconds=2)
    failed = Attempt(route="default", started_at=now, took_ms=1, outcome="transient")
    assert not settling.settle(delivery, ME, [failed], again, now=now)
    stored = Delivery.objects.get()
    assert (stored.state, stored.leased_by) == ("queued", OTHER)
    assert Attempt.objects.count() == 1  # it happened, so it is told


def test_acceptance_settles_a_delivery_whose_lease_was_lost_meanwhile(delivery):
    """Else its new holder would send it again."""
    now = database.now()
    leases.claim(ME, queue=Queue.CODE, now=now, limit=1)
    leases.reap(now=later(61))
    leases.claim(OTHER, queue=Queue.CODE, now=later(61), limit=1)
    assert not settling.settle(delivery, ME, [attempt(now)], ACCEPTED, now=now)
    stored = Delivery.objects.get()
    assert (stored.state, stored.leased_by) == ("accepted", "")
    assert held(delivery, OTHER) == []


def test_settled_delivery_is_nobodys_and_final(delivery):
    now = database.now()
    leases.claim(ME, queue=Queue.CODE, now=now, limit=1)
    assert settling.settle(delivery, ME, [attempt(now)], ACCEPTED, now=now)
    stored = Delivery.objects.get()
    assert (stored.state, stored.leased_by, stored.rounds) == ("accepted", "", 1)
    assert not settling.drop(delivery, ME, Reason.EXPIRED, now=now)
    assert Delivery.objects.get().state == "accepted"


def test_delivery_to_be_retried_stays_its_owners(delivery):
    now = database.now()
    leases.claim(ME, queue=Queue.CODE, now=now, limit=1)
    again = settling.Disposition(DeliveryState.QUEUED, wait_seconds=2)
    assert settling.settle(delivery, ME, [attempt(now)], again, now=now)
    stored = Delivery.objects.get()
    assert (stored.state, stored.leased_by) == ("queued", ME)
    assert stored.due_at - now == timedelta(seconds=2)
    assert stored.leased_until > stored.due_at


def test_released_deliveries_are_free_but_for_those_in_hand(delivery):
    challenges.issue("sign-in", owner="bob", recipient="bob@example.org")
    leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=2)
    assert leases.release(ME, but=[delivery.pk]) == 1
    assert Delivery.objects.get(leased_by="").pk != delivery.pk


@pytest.mark.parametrize(
    "forbidden",
    [
        {"state": "sent"},
        {"queue": "post"},
        {"queue": "mail"},
        {"challenge": None},
        {"generation": None},
        {"state": "accepted"},
        {"state": "failed", "reason": ""},
        {"reason": "expired"},
        {"leased_by": ME},
        {"leased_until": "2026-01-01T00:00:00Z"},
        {"settled_at": "2026-01-01T00:00:00Z"},
    ],
    ids=repr,
)
def test_forbidden_delivery_cannot_be_stored(delivery, forbidden):
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.update(**forbidden)


@pytest.mark.parametrize(
    "forbidden",
    [
        {"state": "open"},
        {"state": "confirmed"},
        {"nonce": None},
        {"ended_at": "2026-01-01T00:00:00Z"},
        {"state": "confirmed", "ended_at": "2026-01-01T00:00:00Z"},
        {"digits": 3},
        {"generation": 0},
        {"expires_at": "2026-01-01T00:00:00Z"},
        {"closes_at": "2026-01-01T00:00:00Z"},
    ],
    ids=repr,
)
def test_forbidden_challenge_cannot_be_stored(delivery, forbidden):
    with pytest.raises(IntegrityError), transaction.atomic():
        Challenge.objects.update(**forbidden)
