"""Ten an hour and twenty a day are ten and twenty, whoever asks at once."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from otpmail.db import database
from otpmail.limits import counters, lockout
from otpmail.limits.counters import Allowance, look
from otpmail.models import Counter
from tests.crowd import at_once, in_processes

pytestmark = pytest.mark.django_db(transaction=True)

ALICE = Allowance("test", "alice@example.org", (10, 20))
HOUR = timedelta(hours=1)


@pytest.fixture
def now():
    return database.now()


def taken(allowance, now, tries=50):
    return sum(allowance.take(now) is None for _ in range(tries))


def test_ten_are_taken_and_the_eleventh_is_told_when(now):
    assert [ALICE.take(now) for _ in range(10)] == [None] * 10
    assert round((ALICE.take(now) - now).total_seconds()) == 360


def test_what_is_refused_until_then_is_taken_then(now):
    taken(ALICE, now)
    retry_at = ALICE.take(now)
    assert ALICE.take(retry_at - timedelta(milliseconds=2)) is not None
    assert ALICE.take(retry_at) is None


def test_an_hour_regains_the_hours_and_the_days_end_holds(now):
    assert [taken(ALICE, now + hour * HOUR) for hour in range(4)] == [10, 10, 1, 1]


def test_a_day_without_any_regains_all(now):
    taken(ALICE, now)
    taken(ALICE, now + HOUR)
    assert taken(ALICE, now + timedelta(days=2)) == 10


@pytest.mark.parametrize("cap", [(1, 1), (3, 7), (7, 7), (10, 20), (60, 300), (999, 1000)])
def test_any_cap_is_exact(now, cap):
    allowance = Allowance("test", "alice", cap)
    assert taken(allowance, now, tries=cap[0] + 5) == cap[0]


def test_what_is_given_back_can_be_taken_again(now):
    taken(ALICE, now)
    ALICE.give_back()
    assert taken(ALICE, now) == 1


def test_what_is_rolled_back_was_not_taken(now):
    with pytest.raises(RuntimeError), transaction.atomic():
        taken(ALICE, now)
        raise RuntimeError
    assert taken(ALICE, now) == 10


def test_owners_and_kinds_are_counted_apart(now):
    taken(ALICE, now)
    assert taken(Allowance("test", "bob@example.org", (10, 20)), now) == 10
    assert taken(Allowance("other", "alice@example.org", (10, 20)), now) == 10


def test_empty_cap_has_no_end_and_no_row(now):
    assert taken(Allowance("test", "alice", ()), now) == 50
    assert Counter.objects.count() == 0


def test_row_does_not_tell_for_whom_it_is(now, settings):
    """Nor can it be found by hashing addresses: the hash is keyed."""
    ALICE.take(now)
    assert "alice" not in str(list(Counter.objects.values()))
    key = ALICE.key()
    settings.SECRET_KEY = "another"
    assert ALICE.key() != key


def test_counter_that_is_at_nought_for_long_is_pruned_and_no_other(now):
    ALICE.take(now)
    assert counters.prune(now=now + timedelta(days=6), limit=10) == 0
    ALICE.take(now + timedelta(days=6))
    assert counters.prune(now=now + timedelta(days=8), limit=10) == 0
    assert counters.prune(now=now + timedelta(days=14), limit=10) == 1
    assert Counter.objects.count() == 0


def test_pruning_has_a_limit(now):
    for number in range(5):
        Allowance("test", str(number), (10, 20)).take(now)
    assert counters.prune(now=now + timedelta(days=8), limit=3) == 3
    assert Counter.objects.count() == 2


def test_no_refusal_leaves_a_row_that_is_pruned_early(now):
    """Else a refused one would wipe out what was taken."""
    taken(ALICE, now)
    taken(ALICE, now)
    assert counters.prune(now=now + timedelta(days=6), limit=10) == 0


def test_owner_that_another_holds_is_held_after_it():
    """Whose row is there neither for the first nor for the second that wants it."""
    held, asks, through = threading.Event(), threading.Event(), threading.Event()

    def note(execute, *statement):
        asks.set()
        return execute(*statement)

    def first():
        with transaction.atomic():
            lockout.lock("alice")
            held.set()
            assert asks.wait(60)
            assert not through.wait(0.2)

    def second():
        assert held.wait(60)
        with connection.execute_wrapper(note), transaction.atomic():
            lockout.lock("alice")
            through.set()

    at_once(first, second)
    assert through.is_set()
    assert Counter.objects.count() == 1


def test_time_that_is_told_is_after_the_hold():
    before = database.now()
    with transaction.atomic():
        assert before <= lockout.lock("alice", "bob") <= database.now()


def test_of_sixty_four_at_once_ten_are_taken(now):
    results = at_once(*[lambda: ALICE.take(now)] * 64)
    assert results.count(None) == 10


def test_of_sixty_four_in_four_processes_ten_are_taken():
    results = in_processes(4, 16, "take", name="alice")
    assert sorted(set(results)) == ["NoneType", "datetime"]
    assert (len(results), results.count("NoneType")) == (64, 10)


def test_of_sixty_four_rolled_back_at_once_none_is_taken(now):
    def take():
        with pytest.raises(RuntimeError), transaction.atomic():
            ALICE.take(now)
            raise RuntimeError

    ALICE.make(now)  # the very first one, rolled back under others, is a deadlock on MariaDB
    at_once(*[take] * 64)
    assert taken(ALICE, now) == 10


def test_taking_is_one_statement_once_the_counter_is_there(now, django_assert_num_queries):
    ALICE.take(now)
    with django_assert_num_queries(1):
        ALICE.take(now)


def test_older_key_whose_service_is_away_is_not_waited_for(now, settings):
    settings.OTPMAIL_KEY_CLASS = "tests.keys.Service"
    settings.OTPMAIL_KEYS = {"b": "slot 8", "a": "slot 9, which is not there"}
    one = Allowance("mails", "alice", (10, 20))
    assert len(one.keys()) == 2  # under "b", and under that of SECRET_KEY
    assert one.take(now) is None
    assert one.among(look([one]))
