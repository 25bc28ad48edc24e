"""Alice owns, Mallory guesses."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction
from django.views.debug import ExceptionReporter

import tests.keys
from otpmail import challenges, closing
from otpmail.crypto import challenge_codes, derive, keys
from otpmail.db import database
from otpmail.exceptions import InsideTransactionError, NotHereError
from otpmail.limits import counters
from otpmail.models import Challenge, ChallengeState, Counter, Delivery
from otpmail.results import (
    AlreadyUsed,
    Cancelled,
    Ended,
    InvalidAddress,
    Malformed,
    NotFound,
    OverCap,
    Resent,
    Superseded,
    TooSoon,
    Verified,
    Wrong,
)
from otpmail.signals import challenge_ended
from otpmail.testing import live_code
from tests import orders, rounds
from tests.crowd import at_once
from tests.rounds import verify, wrong_code

pytestmark = pytest.mark.django_db(transaction=True)


def issue(**changes):
    return challenges.issue(
        **{"purpose": "sign-in", "owner": "alice", "recipient": "alice@example.org"} | changes
    )


def fail(challenge):
    raise RuntimeError


def row(issued):
    return Challenge.objects.get(pk=issued.challenge_id)


def test_issued_code_arrives_and_verifies_once():
    issued = issue()
    code = mail.outbox[0].body.split()[0]
    result = verify(issued, code)
    assert isinstance(result, Verified)
    assert verify(issued, code) == AlreadyUsed(confirmed_at=result.confirmed_at)
    assert (row(issued).state, row(issued).nonce, row(issued).failures) == ("confirmed", None, 0)


def test_issue_tells_what_the_client_needs():
    issued = issue()
    assert issued.recipient == "a***@example.org"
    assert (issued.digits, issued.guesses_left, issued.sends_left) == (6, 5, 2)
    assert len(issued.reference) == 6
    assert (issued.expires_at - row(issued).created_at).total_seconds() == 600
    assert (issued.resend_at - row(issued).created_at).total_seconds() == 60


def test_rolled_back_issue_was_never_promised():
    with pytest.raises(RuntimeError), transaction.atomic():
        issue()
        raise RuntimeError
    assert (Challenge.objects.count(), Delivery.objects.count(), mail.outbox) == (0, 0, [])


def test_mail_leaves_only_after_the_commit():
    with transaction.atomic():
        issue()
        assert mail.outbox == []
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(
    "recipient",
    [
        *("", "alice", "a@b", "alice@example.org, bob@example.org", None, 7, ["a@example.org"]),
        "a@example.org\nBcc: b@example.org",
        "a" * 64 + "@" + ".".join(["b" * 60] * 4) + ".org",
    ],
)
def test_what_is_not_one_address_is_answered_and_not_repeated(recipient):
    result = issue(recipient=recipient)
    assert isinstance(result, InvalidAddress)
    assert result.reason
    assert not recipient or str(recipient) not in result.reason
    assert Challenge.objects.count() == 0


def test_malformed_code_spends_no_guess():
    issued = issue()
    assert verify(issued, "12 34") == Malformed(digits=6)
    assert verify(issued, "9" * 1_000_000) == Malformed(digits=6)
    assert row(issued).failures == 0


def test_fifth_wrong_code_ends_the_challenge():
    issued = issue()
    code, wrong = live_code(issued.challenge_id), wrong_code(issued)
    assert [verify(issued, wrong).guesses_left for _ in range(4)] == [4, 3, 2, 1]
    assert verify(issued, wrong) == Ended(state=ChallengeState.EXHAUSTED)
    assert verify(issued, code) == Ended(state=ChallengeState.EXHAUSTED)
    assert row(issued).failures == 5


def test_right_code_on_the_last_guess_succeeds():
    issued = issue()
    for _ in range(4):
        verify(issued, wrong_code(issued))
    assert isinstance(verify(issued, live_code(issued.challenge_id)), Verified)


def test_mallory_and_nobody_get_the_same_answer_and_spend_nothing():
    issued = issue()
    code = live_code(issued.challenge_id)
    assert verify(issued, code, owner="mallory") == NotFound()
    assert verify(issued, code, purpose="transfer") == NotFound()
    assert challenges.verify("sign-in", uuid4(), code, owner="alice") == NotFound()
    assert row(issued).failures == 0


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, SystemExit, IntegrityError])
def test_fault_of_what_a_right_code_confirms_gives_the_guess_back(fault):
    """Six times, which is one more than there are guesses; and then the code is still good."""
    issued = issue()
    code = live_code(issued.challenge_id)

    def fail(challenge):
        raise fault

    for _ in range(6):
        with pytest.raises(fault):
            verify(issued, code, confirmed=fail)
    assert (row(issued).state, row(issued).failures) == ("pending", 0)
    now = counters.milliseconds(database.now())
    assert not Counter.objects.filter(kind="failures", hour_until__gt=now).exists()
    assert isinstance(verify(issued, code), Verified)


def test_fault_of_the_facts_costs_no_guess(settings):
    settings.OTPMAIL_PURPOSES = {"order": {"FACTS": "tests.orders.facts"}}
    issued = issue(purpose="order", facts=order())
    code = live_code(issued.challenge_id)
    settings.OTPMAIL_PURPOSES = {"order": {"FACTS": "tests.orders.broken"}}
    with pytest.raises(RuntimeError, match="cannot be read"):
        verify(issued, rounds.other_than(code), purpose="order")
    assert row(issued).failures == 0


def test_fault_after_a_wrong_code_gives_no_guess_back(monkeypatch):
    """Else who could make us stumble over it would guess for nothing."""
    issued = issue()
    wrong = wrong_code(issued)

    def stumble(*_, **__):
        raise OSError("stumbled")

    monkeypatch.setattr("otpmail.audit.write", stumble)
    with pytest.raises(OSError, match="stumbled"):
        verify(issued, wrong)
    assert row(issued).failures == 1


def test_verify_refuses_to_run_inside_a_transaction():
    """A rollback there would give the guess back."""
    issued = issue()
    with transaction.atomic(), pytest.raises(InsideTransactionError, match="non_atomic_requests"):
        verify(issued, live_code(issued.challenge_id))


def test_expired_code_is_refused_and_a_new_one_offered(pass_time):
    issued = issue()
    code = live_code(issued.challenge_id)
    pass_time(issued.challenge_id, 601)
    assert verify(issued, code) == Ended(state=ChallengeState.EXPIRED, can_resend=True)
    assert row(issued).failures == 0


def test_after_its_whole_life_no_new_code_is_offered(pass_time):
    issued = issue()
    pass_time(issued.challenge_id, 1700)
    assert verify(issued, "000000") == Ended(state=ChallengeState.EXPIRED, can_resend=False)


def test_cancelled_challenge_takes_no_code():
    issued = issue()
    code = live_code(issued.challenge_id)
    assert challenges.cancel("sign-in", issued.challenge_id, owner="mallory") == NotFound()
    assert challenges.cancel("sign-in", issued.challenge_id, owner="alice") == Cancelled()
    assert verify(issued, code) == Ended(state=ChallengeState.CANCELLED)
    again = challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    assert again == Ended(state=ChallengeState.CANCELLED)


def test_revoked_key_ends_its_challenges(settings):
    issued = issue()
    code = live_code(issued.challenge_id)
    settings.OTPMAIL_REVOKED_KEYS = [keys.current().id]
    settings.OTPMAIL_KEYS = {"new": keys.new()}
    assert verify(issued, code) == Ended(state=ChallengeState.CANCELLED)


def test_unknown_key_ends_nothing_and_costs_no_guess(settings):
    """An old process of a rolling deploy meets a challenge of a new one."""
    settings.OTPMAIL_KEYS = {"newer": keys.new()}
    issued = issue()
    code, newer = live_code(issued.challenge_id), settings.OTPMAIL_KEYS
    settings.OTPMAIL_KEYS = {"old": keys.new()}
    for _ in range(6):
        with pytest.raises(NotHereError):
            verify(issued, code)
        with pytest.raises(NotHereError):
            resend(issued)
    assert (row(issued).state, row(issued).failures) == ("pending", 0)
    assert not Counter.objects.filter(kind="failures", hour_until__gt=0).exists()
    settings.OTPMAIL_KEYS = newer
    assert isinstance(verify(issued, code), Verified)
    settings.OTPMAIL_KEYS = {"old": keys.new()}
    assert isinstance(verify(issued, code), AlreadyUsed)  # for which no key is needed


@pytest.fixture
def vault(settings):
    settings.OTPMAIL_KEY_CLASS = "tests.keys.Service"
    settings.OTPMAIL_KEYS = {"hsm-1": "slot 7"}
    yield
    tests.keys.away.clear()


@pytest.mark.parametrize(
    ("purpose", "types"),
    [("sign-in", str), ("sign-in", rounds.other_than), ("otpmail receipt", str)],
    ids=["right", "wrong", "right, and no receipt"],
)
def test_key_service_that_is_away_costs_no_guess(vault, purpose, types):
    """Six times, which is one more than there are guesses; and then the code is still good."""
    issued = issue()
    code = live_code(issued.challenge_id)
    tests.keys.away.add(purpose)
    for _ in range(6):
        with pytest.raises(NotHereError):
            verify(issued, types(code))
    assert (row(issued).state, row(issued).failures) == ("pending", 0)
    tests.keys.away.clear()
    assert isinstance(verify(issued, code), Verified)


def test_wrong_guess_stays_counted_though_the_service_goes_away_over_it(vault, monkeypatch):
    """Else whoever can make it stumble would learn of wrong codes for nothing."""
    issued = issue()
    Challenge.objects.update(generation=2, older_nonces=bytes(16))
    wrong, compare = wrong_code(issued), derive.compare

    def compare_and_stumble(*given):
        tests.keys.away.add("sign-in")
        return compare(*given)

    monkeypatch.setattr(derive, "compare", compare_and_stumble)
    assert verify(issued, wrong) == Wrong(guesses_left=4)
    assert row(issued).failures == 1


def test_rotated_key_keeps_its_challenges(settings):
    issued = issue()
    code = live_code(issued.challenge_id)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert isinstance(verify(issued, code), Verified)


# Binding


def test_changed_fact_ends_the_challenge_before_the_code_is_looked_at(orders):
    issued = issue(purpose="order", facts=order())
    code = live_code(issued.challenge_id)
    orders_changed(payee="acc-666")
    assert verify(issued, code, purpose="order") == Ended(state=ChallengeState.CHANGED)
    orders_changed(payee="acc-7")
    assert verify(issued, code, purpose="order") == Ended(state=ChallengeState.CHANGED)


def test_vanished_transaction_ends_the_challenge(orders):
    issued = issue(purpose="order", facts=order())
    orders_gone()
    assert verify(issued, "123456", purpose="order") == Ended(state=ChallengeState.CHANGED)


def test_fact_changed_before_rendering_is_never_mailed(orders):
    facts = order()
    with transaction.atomic():
        issued = issue(purpose="order", facts=facts)
        orders_changed(amount_minor=99_999_00)
    assert mail.outbox == []
    assert row(issued).state == "changed"
    assert Delivery.objects.get().reason == "changed"


def test_unchanged_facts_confirm(orders):
    issued = issue(purpose="order", facts=order())
    assert isinstance(verify(issued, live_code(issued.challenge_id), purpose="order"), Verified)


def order():
    return orders.place()


def orders_changed(**changes):
    orders.ORDER.update(changes)


def orders_gone():
    orders.ORDER.clear()


def test_end_and_what_it_was_bound_to_share_a_transaction():
    """A receiver that raises rolls the end back."""
    issued = issue()

    def refuse(challenge, **_):
        assert connection.in_atomic_block
        raise RuntimeError

    challenge_ended.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    finally:
        challenge_ended.disconnect(refuse)
    assert row(issued).state == "pending"


# Resend


def resend(issued, owner="alice"):
    return challenges.resend("sign-in", issued.challenge_id, owner=owner)


def test_resend_before_its_time_is_refused():
    issued = issue()
    assert resend(issued) == TooSoon(retry_at=issued.resend_at)
    assert len(mail.outbox) == 1


def test_resend_keeps_code_and_expiry(pass_time):
    issued = issue()
    code = live_code(issued.challenge_id)
    pass_time(issued.challenge_id, 61)
    expires_at = row(issued).expires_at
    result = resend(issued)
    assert isinstance(result, Resent)
    assert (result.generation, result.sends_left, result.expires_at) == (1, 1, expires_at)
    assert live_code(issued.challenge_id) == code
    assert [code in letter.body for letter in mail.outbox] == [True, True]


def test_second_cool_down_is_longer(pass_time):
    issued = issue()
    pass_time(issued.challenge_id, 61)
    resend(issued)
    pass_time(issued.challenge_id, 61)
    assert isinstance(resend(issued), TooSoon)
    pass_time(issued.challenge_id, 60)
    assert isinstance(resend(issued), Resent)


def test_resend_with_little_life_left_makes_a_new_code_and_kills_the_old(pass_time):
    issued = issue()
    old = live_code(issued.challenge_id)
    verify(issued, wrong_code(issued))
    pass_time(issued.challenge_id, 421)
    result = resend(issued)
    assert (result.generation, result.sends_left) == (2, 2)
    new = live_code(issued.challenge_id)
    if new != old:  # one in a million is equal, and right
        assert verify(issued, old) == Superseded(guesses_left=3, can_resend=True)
    assert isinstance(verify(issued, new), Verified)


def test_resend_after_three_failures_makes_a_new_code(pass_time):
    issued = issue()
    for _ in range(3):
        verify(issued, wrong_code(issued))
    pass_time(issued.challenge_id, 61)
    assert resend(issued).generation == 2
    assert row(issued).failures == 3


def test_reissue_gives_no_guess_back(pass_time):
    """The peers' commonest hole: a cap that a resend resets."""
    issued = issue()
    for _ in range(4):
        verify(issued, wrong_code(issued))
    pass_time(issued.challenge_id, 61)
    resend(issued)
    assert verify(issued, wrong_code(issued)) == Ended(state=ChallengeState.EXHAUSTED)


def test_expired_code_is_reissued(pass_time):
    issued = issue()
    pass_time(issued.challenge_id, 700)
    assert resend(issued).generation == 2
    assert isinstance(verify(issued, live_code(issued.challenge_id)), Verified)


def test_sends_and_generations_have_an_end(pass_time):
    issued, seen = issue(), []
    for _ in range(60):
        pass_time(issued.challenge_id, 30)
        result = resend(issued)
        if isinstance(result, Resent):
            seen.append(result.generation)
    assert len(mail.outbox) == 1 + len(seen)
    assert max(seen.count(generation) for generation in seen) <= 3
    assert max(seen) == 3
    assert resend(issued) == Ended(state=ChallengeState.EXPIRED)


def test_fourth_mail_of_a_generation_waits_for_the_next_one(pass_time):
    issued = issue()
    for seconds in (61, 121):
        pass_time(issued.challenge_id, seconds)
        resend(issued)
    pass_time(issued.challenge_id, 121)
    result = resend(issued)
    assert isinstance(result, OverCap)
    assert (row(issued).expires_at - result.retry_at).total_seconds() == 180


def test_mallory_cannot_resend(pass_time):
    issued = issue()
    pass_time(issued.challenge_id, 61)
    assert resend(issued, owner="mallory") == NotFound()
    assert len(mail.outbox) == 1


# Races: real threads, each with its own connection


def test_of_two_right_codes_at_once_one_wins():
    issued, done = issue(), []
    code = live_code(issued.challenge_id)
    results = at_once(*[lambda: verify(issued, code, confirmed=lambda _: done.append(1))] * 2)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyUsed", "Verified"]
    assert done == [1]


def test_of_many_wrong_codes_at_once_five_are_looked_at():
    issued = issue()
    wrong = wrong_code(issued)
    results = at_once(*[lambda: verify(issued, wrong)] * 16)
    looked_at = [result for result in results if isinstance(result, Wrong)]
    assert len(looked_at) <= 4
    assert row(issued).failures == 5
    assert row(issued).state == "exhausted"


def test_of_two_resends_at_once_one_is_taken(pass_time):
    issued = issue()
    pass_time(issued.challenge_id, 61)
    results = at_once(*[lambda: resend(issued)] * 4)
    assert sum(isinstance(result, Resent) for result in results) == 1
    assert Delivery.objects.count() == 2


def test_code_of_ended_challenge_cannot_be_derived():
    issued = issue()
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    assert challenge_codes.code_of(row(issued)) is None


def test_double_click_on_the_last_guess_is_told_already_used():
    issued = issue()
    for _ in range(4):
        verify(issued, wrong_code(issued))
    code, inside = live_code(issued.challenge_id), threading.Event()

    def slow(challenge):
        inside.set()
        time.sleep(0.3)

    def first():
        try:
            return verify(issued, code, confirmed=slow)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        winner = pool.submit(first)
        inside.wait(60)
        second = verify(issued, code)
        assert isinstance(winner.result(), Verified)
    assert isinstance(second, AlreadyUsed)


def test_verify_refuses_to_run_without_autocommit():
    issued = issue()
    transaction.set_autocommit(False)
    try:
        with pytest.raises(InsideTransactionError):
            verify(issued, wrong_code(issued))
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)


def test_log_says_confirmed_only_of_what_was_committed(caplog):
    caplog.set_level(logging.INFO)
    issued = issue()
    with pytest.raises(RuntimeError):
        verify(issued, live_code(issued.challenge_id), confirmed=fail)
    assert "challenge confirmed" not in caplog.text
    verify(issued, live_code(issued.challenge_id))
    assert "challenge confirmed" in caplog.text


def test_live_code_is_in_no_error_report():
    """What ADMINS are mailed, and what an error tracker reads: the variables of our frames."""
    issued = issue()
    code = live_code(issued.challenge_id)
    with pytest.raises(RuntimeError) as raised:
        verify(issued, code, confirmed=fail)
    reporter = ExceptionReporter(None, raised.type, raised.value, raised.tb)
    ours = [
        frame
        for frame in reporter.get_traceback_data()["frames"]
        if "/otpmail/" in frame["filename"]
    ]
    assert ours
    assert not [name for frame in ours for name, value in frame["vars"] if code in str(value)]


def test_facts_that_nothing_reads_again_are_refused():
    with pytest.raises(ImproperlyConfigured, match="FACTS"):
        issue(facts={"amount_minor": 1})


def test_resend_under_a_revoked_key_ends_the_challenge(settings, pass_time):
    issued = issue()
    pass_time(issued.challenge_id, 61)
    settings.OTPMAIL_REVOKED_KEYS = [keys.current().id]
    settings.OTPMAIL_KEYS = {"new": keys.new()}
    assert resend(issued) == Ended(state=ChallengeState.CANCELLED)


@pytest.mark.parametrize("other", ["ALICE", "alice ", "alicé"])
def test_owner_is_compared_to_the_letter(other):
    """Whatever a database's collation holds to be equal."""
    assert verify(issue(), "000000", owner=other) == NotFound()


def test_receiver_that_refuses_one_end_holds_up_no_other(pass_time):
    first, second = issue(), issue(purpose="order")
    pass_time(first.challenge_id, 1900)
    pass_time(second.challenge_id, 1850)

    def refuse(challenge, **_):
        if challenge.pk == first.challenge_id:
            raise RuntimeError

    challenge_ended.connect(refuse)
    try:
        closing.expire(now=database.now(), seconds=10)
    finally:
        challenge_ended.disconnect(refuse)
    assert (row(first).state, row(second).state) == ("pending", "expired")


def test_sweep_ends_what_stands_under_a_revoked_key(settings):
    settings.OTPMAIL_KEYS = {"old": keys.new()}
    under_old = issue()
    settings.OTPMAIL_KEYS = {"new": keys.new(), **settings.OTPMAIL_KEYS}
    under_new = issue(purpose="order")
    settings.OTPMAIL_KEYS = {"new": settings.OTPMAIL_KEYS["new"]}
    closing.revoke(now=database.now(), seconds=10)
    assert row(under_old).state == "pending"  # unknown here, and not revoked
    settings.OTPMAIL_REVOKED_KEYS = ["old"]
    closing.revoke(now=database.now(), seconds=10)
    assert (row(under_old).state, row(under_new).state) == ("cancelled", "pending")
    assert row(under_old).nonce is None


def test_code_of_a_rotated_key_is_still_good(settings):
    settings.OTPMAIL_KEYS = {"old": keys.new()}
    issued = issue()
    settings.OTPMAIL_KEYS = {"new": keys.new(), **settings.OTPMAIL_KEYS}
    assert isinstance(verify(issued, live_code(issued.challenge_id)), Verified)


def test_codes_are_signed_by_a_key_service(settings):
    settings.OTPMAIL_KEY_CLASS = "tests.keys.Service"
    settings.OTPMAIL_KEYS = {"hsm-1": "slot 7"}
    issued = issue()
    code = mail.outbox[-1].body.split()[0]
    settings.OTPMAIL_KEYS = {"hsm-2": "slot 8", "hsm-1": "slot 7"}
    assert isinstance(verify(issued, code), Verified)
