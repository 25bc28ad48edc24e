"""A project's code that takes our transaction back unseen: what is told is what stands."""

import contextlib

import pytest
from django.db import Error, connection, transaction

from otpmail import challenges
from otpmail.exceptions import RolledBackError
from otpmail.models import AuditEntry, Challenge, Counter
from otpmail.results import AlreadyUsed, Cancelled, Ended, Verified
from otpmail.signals import challenge_ended
from otpmail.testing import live_code
from tests.rounds import promise, verify, wrong_code

pytestmark = pytest.mark.django_db(transaction=True)


def swallow_an_error(*_, **__):
    with contextlib.suppress(Error):
        Counter.objects.create(pk=Counter.objects.values_list("pk", flat=True)[0], kept_until=0)


def swallow_a_raw_error(*_, **__):
    with contextlib.suppress(Error), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


def ask_for_a_rollback(*_, **__):
    transaction.set_rollback(True)


def roll_back_behind_django(*_, **__):
    with connection.cursor() as cursor:
        cursor.execute("ROLLBACK")


WAYS = [swallow_an_error, swallow_a_raw_error, ask_for_a_rollback, roll_back_behind_django]
WITHOUT_HARM = {"swallow_a_raw_error": {"sqlite", "mysql"}}
"""Where such an error spoils its own statement alone."""


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request):
    return request.param


@pytest.fixture
def heard(way):
    challenge_ended.connect(way)
    yield way
    challenge_ended.disconnect(way)


def attempt(way, act):
    """Do it; None if it says that it was taken back, which it must where all is lost."""
    if connection.vendor in WITHOUT_HARM.get(way.__name__, ()):
        return act()
    with pytest.raises(RolledBackError, match="swallowed"):
        act()
    return None


def row(issued):
    return Challenge.objects.get(pk=issued.challenge_id)


def deeds():
    return set(AuditEntry.objects.values_list("action", flat=True))


def check_confirms_honestly(way, issued, act):
    if attempt(way, act) is None:
        assert (row(issued).state, row(issued).failures) == ("pending", 0)
        assert "confirmed" not in deeds()
    else:
        assert row(issued).state == "confirmed"
        assert isinstance(act(), AlreadyUsed)


def test_no_code_is_right_twice_whatever_confirmed_swallows(way):
    issued = promise()
    code = live_code(issued.challenge_id)
    check_confirms_honestly(way, issued, lambda: verify(issued, code, confirmed=way))
    if row(issued).state == "pending":
        assert isinstance(verify(issued, code), Verified)


def test_no_code_is_right_twice_whatever_a_receiver_swallows(heard):
    issued = promise()
    code = live_code(issued.challenge_id)
    check_confirms_honestly(heard, issued, lambda: verify(issued, code))


def test_what_is_held_is_not_consumed_twice(heard):
    issued = promise()
    verify(issued, live_code(issued.challenge_id), consume=False)
    act = lambda: challenges.consume("sign-in", issued.challenge_id, owner="alice")  # noqa: E731
    check_confirms_honestly(heard, issued, act)


def test_cancelled_is_told_only_of_what_is(heard):
    issued = promise()
    told = attempt(heard, lambda: challenges.cancel("sign-in", issued.challenge_id, owner="alice"))
    assert row(issued).state == ("pending" if told is None else "cancelled")
    assert told in (None, Cancelled())


def test_all_are_cancelled_or_none(heard):
    both = [promise(), promise()]
    told = attempt(heard, lambda: challenges.cancel_all(owner="alice"))
    assert {row(one).state for one in both} == {"pending" if told is None else "cancelled"}
    assert told in (None, 2)


def test_last_wrong_guess_stays_spent(heard):
    issued = promise()
    wrong = wrong_code(issued)
    Challenge.objects.update(failures=4)
    attempt(heard, lambda: verify(issued, wrong))
    assert row(issued).failures == 5
    assert verify(issued, wrong) == Ended(state="exhausted")


def test_what_is_confirmed_may_delete_all_of_its_owner():
    """A challenge that is gone is not pending again."""
    issued = promise()

    def leave(challenge):
        Challenge.objects.filter(owner=challenge.owner).delete()

    assert isinstance(verify(issued, live_code(issued.challenge_id), confirmed=leave), Verified)
