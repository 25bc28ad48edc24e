"""A code that is typed on one page, and its step taken on the next."""

import pytest
from django.db import transaction
from django.db.models import F

from otpmail import challenges, receipts
from otpmail.crypto import keys
from otpmail.models import AuditEntry, Challenge, Counter
from otpmail.results import (
    AlreadyUsed,
    Cancelled,
    Ended,
    Held,
    NotFound,
    NotHeld,
    Verified,
    Wrong,
)
from otpmail.testing import live_code
from tests import orders as an_order
from tests.crowd import at_once
from tests.rounds import promise, verify, wrong_code

pytestmark = pytest.mark.django_db(transaction=True)


def hold(issued, typed=None, purpose="sign-in"):
    typed = typed or live_code(issued.challenge_id)
    return verify(issued, typed, consume=False, purpose=purpose)


def consume(issued, owner="alice", purpose="sign-in"):
    return challenges.consume(purpose, issued.challenge_id, owner=owner)


def row(issued):
    return Challenge.objects.get(pk=issued.challenge_id)


def test_held_code_is_consumed_once_by_its_owner():
    issued = promise(recipient="alice@example.org")
    held = hold(issued)
    assert isinstance(held, Held)
    assert held.recipient == "alice@example.org"
    assert row(issued).state == "pending"
    assert consume(issued, owner="mallory") == NotFound()
    assert consume(issued, purpose="order") == NotFound()
    result = consume(issued)
    assert isinstance(result, Verified)
    assert result.recipient == "alice@example.org"
    assert consume(issued) == AlreadyUsed(confirmed_at=result.confirmed_at)
    deeds = AuditEntry.objects.filter(challenge_id=issued.challenge_id).order_by("pk")
    assert list(deeds.values_list("action", flat=True)) == ["issued", "mailed", "held", "confirmed"]


def test_receipt_of_a_held_code_is_as_good():
    issued = promise()
    hold(issued)
    result = consume(issued)
    told = {"challenge_id": issued.challenge_id, "purpose": "sign-in", "owner": "alice"}
    assert receipts.check(result.receipt, facts=None, confirmed_at=result.confirmed_at, **told)


def test_nothing_is_consumed_before_the_code_was_typed():
    issued = promise()
    assert consume(issued) == NotHeld()
    assert hold(issued, wrong_code(issued)) == Wrong(guesses_left=4)
    assert consume(issued) == NotHeld()
    assert row(issued).state == "pending"


def test_right_code_that_is_held_costs_no_guess():
    issued = promise()
    for _ in range(7):
        assert isinstance(hold(issued), Held)  # the page was loaded again
    assert row(issued).failures == 0
    assert not Counter.objects.filter(kind="failures", hour_until__gt=F("kept_until")).exists()


def test_step_outlasts_the_code_and_has_an_end(pass_time):
    issued = promise()
    pass_time(issued.challenge_id, 599)
    held = hold(issued)
    assert (held.held_until - row(issued).expires_at).total_seconds() > 590
    pass_time(issued.challenge_id, 300)
    assert isinstance(consume(issued), Verified)


def test_after_its_end_nothing_is_held(pass_time):
    issued = promise()
    hold(issued)
    Challenge.objects.update(held_until=F("created_at"))
    assert consume(issued) == NotHeld()
    assert isinstance(hold(issued), Held)
    assert isinstance(consume(issued), Verified)


def test_held_until_the_very_end_of_a_challenge_it_is_not_swept_away(pass_time):
    issued = promise()
    Challenge.objects.update(closes_at=F("expires_at"))
    pass_time(issued.challenge_id, 595)
    held = hold(issued)
    assert row(issued).closes_at == held.held_until


def test_step_that_fails_takes_nothing():
    """Both are in one transaction: the step and the challenge's end."""
    issued = promise()
    hold(issued)
    with pytest.raises(RuntimeError), transaction.atomic():
        assert isinstance(consume(issued), Verified)
        raise RuntimeError
    assert row(issued).state == "pending"
    assert isinstance(consume(issued), Verified)


def test_cancelled_meanwhile_is_cancelled():
    issued = promise()
    hold(issued)
    assert challenges.cancel("sign-in", issued.challenge_id, owner="alice") == Cancelled()
    assert consume(issued) == Ended(state="cancelled")


def test_fact_that_changed_meanwhile_ends_it(orders):
    issued = promise(purpose="order", facts=an_order.place())
    assert isinstance(hold(issued, purpose="order"), Held)
    an_order.ORDER["amount_minor"] = 99
    assert consume(issued, purpose="order") == Ended(state="changed")


def test_key_that_was_revoked_meanwhile_ends_it(settings):
    settings.OTPMAIL_KEYS = {"stolen": keys.new()}
    issued = promise()
    hold(issued)
    settings.OTPMAIL_KEYS, settings.OTPMAIL_REVOKED_KEYS = {"new": keys.new()}, ["stolen"]
    assert consume(issued) == Ended(state="cancelled")


def test_deed_is_done_where_it_is_consumed():
    issued = promise()
    with pytest.raises(ValueError, match="consume"):
        verify(issued, "123456", consume=False, confirmed=lambda _: None)


def test_of_many_who_consume_at_once_one_does():
    issued = promise()
    hold(issued)
    results = at_once(*[lambda: consume(issued)] * 8)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyUsed"] * 7 + ["Verified"]
    assert AuditEntry.objects.filter(action="confirmed").count() == 1


def test_verified_names_the_address_that_was_proven_and_shows_it_to_no_log():
    issued = promise(recipient="alice@example.org")
    result = verify(issued, live_code(issued.challenge_id))
    assert result.recipient == "alice@example.org"
    assert "alice" not in repr(result)
