"""One stolen session cannot grind, and nobody else's mistakes cost a person anything."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db.models import F

from otpmail import challenges
from otpmail.crypto import keys
from otpmail.db import database
from otpmail.limits import lockout
from otpmail.models import AuditEntry, Challenge, Counter
from otpmail.results import Cap, Ended, Issued, OverCap, Superseded, Verified, Wrong
from otpmail.testing import live_code
from tests.crowd import at_once, in_processes
from tests.rounds import promise, verify, wrong_code

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE_MS = 60_000


def issue(owner="alice"):
    """A new one each time."""
    return promise(owner=owner)


def fail(issued, times):
    wrong = wrong_code(issued)
    return [verify(issued, wrong) for _ in range(times)]


def minutes_pass(minutes):
    """For the counters: a whole day would end every challenge."""
    times = ("hour_until", "day_until", "locked_out_until")
    Counter.objects.update(**{name: F(name) - minutes * MINUTE_MS for name in times})


def wait_minutes(result):
    assert result.cap is Cap.FAILURES
    return round((result.retry_at - database.now()).total_seconds() / 60)


def test_ten_wrong_codes_over_two_challenges_make_the_owner_wait():
    fail(issue(), 5)
    second = issue()
    fail(second, 4)
    assert isinstance(issue(), Issued)
    fail(second, 1)
    assert wait_minutes(issue()) == 15
    assert isinstance(issue("bob"), Issued)


def test_wait_does_not_stop_what_is_pending():
    third = promise(purpose="order")
    fail(issue(), 5)
    fail(issue(), 5)
    assert isinstance(issue(), OverCap)
    code = live_code(third.challenge_id)
    assert isinstance(verify(third, code, purpose="order"), Verified)


def test_each_wait_is_twice_as_long_up_to_a_day_and_ends():
    fail(issue(), 5)
    fail(issue(), 5)
    waits = []
    for _ in range(10):
        waits.append(wait_minutes(issue()))
        wait_is_over = F("locked_out_until") - waits[-1] * MINUTE_MS
        Counter.objects.update(locked_out_until=wait_is_over)  # and nothing was regained
        fail(issue(), 1)
    assert waits == [15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440]


def test_wrong_codes_during_a_wait_do_not_lengthen_it():
    third = promise(purpose="order")
    fail(issue(), 5)
    fail(issue(), 5)
    for _ in range(4):
        verify(third, wrong_code(third), purpose="order")
    assert wait_minutes(issue()) == 15


def test_who_has_a_quiet_day_after_a_wait_begins_anew():
    fail(issue(), 5)
    fail(issue(), 5)
    minutes_pass(15 + 24 * 60)
    fail(issue(), 5)
    fail(issue(), 5)
    assert wait_minutes(issue()) == 15


@pytest.fixture
def ring(settings):
    """Give what puts a new key first."""
    settings.OTPMAIL_KEYS = {"a": keys.new()}

    def rotate():
        settings.OTPMAIL_KEYS = {"b": keys.new()} | settings.OTPMAIL_KEYS

    return rotate


def test_wait_outlives_a_new_key_until_its_own_is_revoked(ring, settings):
    fail(issue(), 5)
    fail(issue(), 5)
    before = wait_minutes(issue())
    ring()
    assert wait_minutes(issue()) == before
    settings.OTPMAIL_KEYS = {"b": settings.OTPMAIL_KEYS["b"]}
    settings.OTPMAIL_REVOKED_KEYS = ["a"]
    assert isinstance(issue(), Issued)


def test_right_code_gives_its_failure_back():
    for _ in range(30):
        issued = issue()
        assert isinstance(verify(issued, live_code(issued.challenge_id)), Verified)
    fail(issue(), 5)
    fail(issue(), 4)
    assert isinstance(issue(), Issued)


def test_strangers_and_nonsense_spend_nothing():
    issued = issue()
    for _ in range(20):
        verify(issued, "123456", owner="mallory")
        verify(issued, "no code")
        challenges.verify("sign-in", uuid4(), "123456", owner="alice")
    assert not Counter.objects.filter(kind="failures", day_until__gt=0).exists()


def test_expired_code_spends_nothing(pass_time):
    issued = issue()
    wrong = wrong_code(issued)
    pass_time(issued.challenge_id, 601)
    verify(issued, wrong)
    assert not Counter.objects.filter(kind="failures", day_until__gt=0).exists()


def test_fault_of_the_deed_costs_no_failure():
    issued = issue()

    def crash(challenge):
        raise RuntimeError

    code = live_code(issued.challenge_id)
    for _ in range(12):
        with pytest.raises(RuntimeError):
            challenges.verify("sign-in", issued.challenge_id, code, owner="alice", confirmed=crash)
    assert Challenge.objects.get().failures == 0
    assert isinstance(issue(), Issued)


def test_without_a_budget_nobody_waits(settings):
    settings.OTPMAIL_LOCKOUT_FAILURES = ()
    for _ in range(5):
        fail(issue(), 5)
    assert isinstance(issue(), Issued)


def test_older_code_is_told_from_a_wrong_one_and_counts(pass_time):
    issued = issue()
    old = live_code(issued.challenge_id)
    for left, can_resend in ((4, True), (3, False)):
        pass_time(issued.challenge_id, 480)
        challenges.resend("sign-in", issued.challenge_id, owner="alice")
        assert verify(issued, old) == Superseded(guesses_left=left, can_resend=can_resend)
    assert verify(issued, wrong_code(issued)) == Wrong(guesses_left=2)
    assert verify(issued, old) == Superseded(guesses_left=1, can_resend=False)
    assert verify(issued, old) == Ended(state="exhausted")
    assert Challenge.objects.get().older_nonces is None


# Races


def test_of_sixty_four_right_codes_at_once_one_succeeds():
    issued, done = issue(), []
    code = live_code(issued.challenge_id)

    def act():
        return challenges.verify(
            "sign-in",
            issued.challenge_id,
            code,
            owner="alice",
            confirmed=lambda _: done.append(1),
        )

    names = [type(result).__name__ for result in at_once(*[act] * 64)]
    assert names.count("Verified") == 1
    assert set(names) <= {"Verified", "AlreadyUsed"}
    assert done == [1]
    assert AuditEntry.objects.filter(action="confirmed").count() == 1


def test_of_sixty_four_wrong_codes_at_once_five_are_looked_at():
    issued = issue()
    wrong = wrong_code(issued)
    results = at_once(*[lambda: verify(issued, wrong)] * 64)
    assert sum(isinstance(result, Wrong) for result in results) <= 4
    assert 1 <= AuditEntry.objects.filter(action="wrong").count() <= 5
    assert Challenge.objects.get().failures == 5


def test_of_sixty_four_wrong_codes_in_four_processes_five_are_looked_at():
    issued = issue()
    named = {"challenge_id": str(issued.challenge_id), "typed": wrong_code(issued)}
    results = in_processes(4, 16, "verify", **named)
    assert len(results) == 64
    assert results.count("Wrong") <= 4
    assert 1 <= AuditEntry.objects.filter(action="wrong").count() <= 5
    assert Challenge.objects.get().failures == 5


def test_budget_is_exact_under_sixty_four_failures_at_once():
    now = database.now()
    at_once(*[lambda: lockout.count("alice", now)] * 64)
    row = lockout.of("alice").row().get()
    assert row.hour_until - round(now.timestamp() * 1000) == 64 * 360_000


def test_of_sixty_four_wrong_codes_at_once_one_begins_the_wait():
    now = database.now()
    for _ in range(10):
        lockout.count("alice", now)
    at_once(*[lambda: lockout.enforce("alice", now)] * 64)
    row = lockout.of("alice").row().get()
    assert row.lockout_ms == timedelta(minutes=15).total_seconds() * 1000
