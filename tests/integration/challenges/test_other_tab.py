"""A code that was typed in the other tab is told as that, and no guess is free."""

import pytest

from otpmail.crypto import keys
from otpmail.models import AuditEntry, Challenge, Counter
from otpmail.results import Ended, Malformed, NotFound, OtherChallenge, Verified, Wrong
from otpmail.testing import live_code
from tests.crowd import at_once
from tests.rounds import other_than, promise, verify

pytestmark = pytest.mark.django_db(transaction=True)


def code_of(issued):
    return live_code(issued.challenge_id)


def failures(*all_issued):
    return [Challenge.objects.get(pk=issued.challenge_id).failures for issued in all_issued]


def neither(*all_issued):
    """Give a code that is none of theirs."""
    taken = {code_of(issued) for issued in all_issued}
    return next(code for code in map("{:06d}".format, range(10)) if code not in taken)


def test_code_of_the_other_tab_is_told_as_that():
    here, there = promise(), promise()
    result = verify(here, code_of(there))
    assert result == OtherChallenge(
        challenge_id=there.challenge_id, reference=there.reference, guesses_left=4
    )
    assert failures(here, there) == [1, 1]
    assert isinstance(verify(there, code_of(there)), Verified)
    assert isinstance(verify(here, code_of(here)), Verified)


def test_wrong_code_costs_a_guess_of_each_that_it_was_compared_with():
    first, second, third = all_issued = [promise() for _ in range(3)]
    assert verify(first, neither(*all_issued)) == Wrong(guesses_left=4)
    assert failures(*all_issued) == [1, 1, 1]
    assert AuditEntry.objects.filter(action="wrong").count() == 3
    row = Counter.objects.get(kind="failures")
    one_an_hour = Counter.objects.filter(kind="failures", hour_until__gt=0)
    assert one_an_hour.get() == row
    assert isinstance(verify(third, code_of(second)), OtherChallenge)
    assert failures(*all_issued) in ([2, 2, 2], [1, 2, 2])  # compared one after the other


def test_right_code_costs_no_other_anything():
    here, there = promise(), promise()
    assert isinstance(verify(here, code_of(here)), Verified)
    assert failures(there) == [0]


@pytest.mark.parametrize(
    "other",
    [{"owner": "bob"}, {"purpose": "order"}, {"owner": "ALICE"}],
    ids=str,
)
def test_of_others_nothing_is_told_and_they_pay_nothing(other):
    here, theirs = promise(), promise(**other)
    assert verify(here, code_of(theirs)) == Wrong(guesses_left=4)
    assert failures(theirs) == [0]
    assert verify(theirs, code_of(theirs), owner="mallory") == NotFound()


def test_fifth_comparison_ends_the_other_too():
    here, there = promise(), promise()
    wrong = neither(here, there)
    assert [verify(here, wrong) for _ in range(4)] == [Wrong(guesses_left=n) for n in (4, 3, 2, 1)]
    assert verify(there, wrong) == Ended(state="exhausted")
    assert verify(there, code_of(here)) == Ended(state="exhausted")


def test_right_code_on_the_last_guess_of_the_other_sends_nobody_to_what_ended():
    here, there = promise(), promise()
    code = code_of(there)
    Challenge.objects.filter(pk=there.challenge_id).update(failures=4)
    assert verify(here, code) == Wrong(guesses_left=4)
    assert failures(here, there) == [1, 5]
    assert verify(there, code) == Ended(state="exhausted")


def test_whoever_is_sent_to_the_other_tab_can_type_it_there():
    here, there = promise(), promise()
    Challenge.objects.filter(pk=there.challenge_id).update(failures=3)
    told = verify(here, code_of(there))
    assert told.challenge_id == there.challenge_id
    assert isinstance(verify(there, code_of(there)), Verified)


def test_guesses_at_two_in_turns_are_five_of_each():
    here, there = promise(), promise()
    wrong = neither(here, there)
    for number in range(20):
        verify((here, there)[number % 2], wrong)
    assert max(failures(here, there)) == 5
    assert AuditEntry.objects.filter(action="wrong").count() <= 10


def test_budget_counts_each_comparison(settings):
    settings.OTPMAIL_LOCKOUT_FAILURES = (6, 6)
    all_issued = [promise() for _ in range(3)]
    verify(all_issued[0], neither(*all_issued))
    assert promise().continued is False
    verify(all_issued[0], neither(*all_issued))
    assert type(promise()).__name__ == "OverCap"


def test_one_that_ended_is_not_compared(pass_time):
    here, used, expired = [promise() for _ in range(3)]
    code, late = code_of(used), code_of(expired)
    verify(used, code)
    pass_time(expired.challenge_id, 700)
    assert verify(here, other_than(late) if code == late else late) == Wrong(guesses_left=4)
    assert verify(here, code) == Wrong(guesses_left=3)
    assert failures(used, expired) == [0, 0]


def test_longer_code_of_another_is_told_and_costs_the_shorter_nothing():
    short, long = promise(), promise(long=True)
    told = verify(short, code_of(long))
    assert (told.challenge_id, told.guesses_left) == (long.challenge_id, 5)
    assert failures(short, long) == [0, 1]
    wrong = f"{(int(code_of(long)) + 1) % 10**8:08d}"
    assert verify(short, wrong) == Malformed(digits=6)
    assert failures(short, long) == [0, 2]


def test_decoy_of_another_tab_is_never_right(settings):
    settings.OTPMAIL_PURPOSES = {"sign-in": {"BEFORE_SIGN_IN": True}}
    here, decoy = promise(), promise(decoy=True)
    assert verify(here, code_of(decoy)) == Wrong(guesses_left=4)
    assert failures(here, decoy) == [1, 1]


def test_other_under_a_key_that_is_not_here_is_left_alone(settings):
    settings.OTPMAIL_KEYS = {"elsewhere": keys.new()}
    there = promise()
    code = code_of(there)
    settings.OTPMAIL_KEYS = {"here": keys.new()}
    here = promise()
    if code != code_of(here):  # one in a million is
        assert verify(here, code) == Wrong(guesses_left=4)
    assert failures(there) == [0]


def test_what_stands_under_a_revoked_key_costs_nothing(settings):
    """It is over, though no sweep has ended it yet."""
    settings.OTPMAIL_KEYS = {"stolen": keys.new()}
    there = promise()
    settings.OTPMAIL_KEYS, settings.OTPMAIL_REVOKED_KEYS = {"new": keys.new()}, ["stolen"]
    here = promise()
    verify(here, neither(here))
    assert failures(here, there) == [1, 0]
    spent = Counter.objects.filter(kind="failures").values_list("hour_until", flat=True)
    before = list(spent)
    assert verify(there, "123456") == Ended(state="cancelled")
    assert list(spent) == before


def test_crossed_codes_at_once_are_no_deadlock():
    here, there = promise(), promise()
    codes = code_of(here), code_of(there)
    results = at_once(*[lambda: verify(here, codes[1])] * 4, *[lambda: verify(there, codes[0])] * 4)
    known = OtherChallenge | Wrong | Ended
    assert all(isinstance(result, known) for result in results)
    assert max(failures(here, there)) <= 5
