"""Nobody is locked out by asking again: in two tabs, without the id, or because a stranger did."""

import dataclasses
from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction

from otpmail import challenges
from otpmail.addresses.requester import Client
from otpmail.crypto import keys
from otpmail.models import AuditEntry, Challenge, ChallengeState, Delivery
from otpmail.results import (
    Cancelled,
    Cap,
    Ended,
    Issued,
    NotFound,
    OverCap,
    Resent,
    TooSoon,
    Verified,
    Wrong,
)
from otpmail.signals import challenge_ended
from otpmail.testing import live_code
from tests import orders
from tests.crowd import at_once, in_processes
from tests.rounds import verify, wrong_code

pytestmark = pytest.mark.django_db(transaction=True)

STRANGER = Client(address="203.0.113.66")


@pytest.fixture(autouse=True)
def caps(settings):
    """The defaults."""
    del settings.OTPMAIL_RECIPIENT_QUOTA
    del settings.OTPMAIL_CLIENT_QUOTA
    del settings.OTPMAIL_OPEN_CHALLENGES


def issue(**changes):
    named = {"purpose": "sign-in", "owner": "alice", "recipient": "alice@example.org"}
    return challenges.issue(**named | changes)


def another(number, **changes):
    """What Alice asks for besides: each goes to an address of its own."""
    return issue(recipient=f"alice{number}@example.org", **changes)


def row(issued):
    return Challenge.objects.get(pk=issued.challenge_id)


def codes_mailed():
    return {letter.body.split()[0] for letter in mail.outbox}


# The same is continued


def test_three_presses_of_send_are_one_code():
    first, *rest = [issue() for _ in range(3)]
    assert (first.continued, first.mailed) == (False, True)
    assert [(again.continued, again.mailed) for again in rest] == [(True, False)] * 2
    assert {again.challenge_id for again in rest} == {first.challenge_id}
    assert {again.resend_at for again in rest} == {first.resend_at}
    assert (len(mail.outbox), Challenge.objects.count()) == (1, 1)
    assert isinstance(verify(first, mail.outbox[0].body.split()[0]), Verified)


def test_after_the_cool_down_the_same_code_is_mailed_again(pass_time):
    first = issue()
    pass_time(first.challenge_id, 61)
    again = issue()
    assert (again.challenge_id, again.continued, again.mailed) == (first.challenge_id, True, True)
    assert (again.sends_left, again.resend_at) == (1, row(first).resend_at)
    assert (len(mail.outbox), len(codes_mailed())) == (2, 1)
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        *("issued", "mailed", "resent", "mailed")
    ]


def test_code_with_little_life_left_is_made_anew_and_no_guess_is_given_back(pass_time):
    first = issue()
    verify(first, wrong_code(first))
    pass_time(first.challenge_id, 480)
    again = issue()
    assert (again.challenge_id, again.mailed, again.guesses_left) == (first.challenge_id, True, 4)
    assert row(first).generation == 2


def test_expired_code_is_made_anew(pass_time):
    first = issue()
    pass_time(first.challenge_id, 700)
    assert issue().challenge_id == first.challenge_id
    assert isinstance(verify(first, live_code(first.challenge_id)), Verified)


def test_when_no_more_mails_may_be_sent_the_code_is_good_and_the_wait_is_told(pass_time):
    first = issue()
    for seconds in (61, 121):
        pass_time(first.challenge_id, seconds)
        issue()
    pass_time(first.challenge_id, 121)
    again = issue()
    assert (again.mailed, again.sends_left, len(mail.outbox)) == (False, 0, 3)
    assert row(first).expires_at - again.resend_at == timedelta(seconds=180)
    assert isinstance(verify(again, live_code(again.challenge_id)), Verified)


@pytest.mark.parametrize("end", ["confirmed", "exhausted", "cancelled", "closed"])
def test_what_is_over_is_not_continued(end, pass_time):
    first = issue()
    if end == "confirmed":
        verify(first, live_code(first.challenge_id))
    elif end == "exhausted":
        for _ in range(5):
            verify(first, wrong_code(first))
    elif end == "cancelled":
        challenges.cancel("sign-in", first.challenge_id, owner="alice")
    else:
        pass_time(first.challenge_id, 1801)
    again = issue()
    assert (again.continued, again.mailed) == (False, True)
    assert again.challenge_id != first.challenge_id
    assert isinstance(verify(again, live_code(again.challenge_id)), Verified)


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": "order"},
        {"owner": "bob"},
        {"owner": "ALICE"},
        {"owner": "alicé"},
        {"recipient": "bob@example.org"},
        {"long": True},
    ],
    ids=str,
)
def test_another_is_no_continuation(other):
    assert issue().challenge_id != issue(**other).challenge_id
    assert len(mail.outbox) == 2


def test_other_facts_are_another_and_the_same_ones_are_not(orders):
    place = orders_place
    first = issue(purpose="order", facts=place(amount_minor=1))
    assert issue(purpose="order", facts=place(amount_minor=1)).challenge_id == first.challenge_id
    second = issue(purpose="order", facts=place(amount_minor=2))
    assert second.challenge_id != first.challenge_id
    assert issue(purpose="order").challenge_id not in {first.challenge_id, second.challenge_id}


def orders_place(**facts):
    orders.place()
    orders.ORDER.update(facts)
    return dict(orders.ORDER)


def test_key_that_is_not_here_locks_nobody_out(settings):
    settings.OTPMAIL_KEYS = {"elsewhere": keys.new()}
    first = issue()
    settings.OTPMAIL_KEYS = {"here": keys.new()}
    again = issue()
    assert again.challenge_id != first.challenge_id
    assert isinstance(verify(again, live_code(again.challenge_id)), Verified)


def test_revoked_key_is_not_continued(settings):
    settings.OTPMAIL_KEYS = {"stolen": keys.new()}
    first = issue()
    settings.OTPMAIL_KEYS, settings.OTPMAIL_REVOKED_KEYS = {"new": keys.new()}, ["stolen"]
    assert not issue().continued
    assert verify(first, "123456") == Ended(state="cancelled")
    assert row(first).state == ChallengeState.CANCELLED


def test_full_mailbox_quota_leaves_the_open_code_good(pass_time):
    first = issue()
    for number in range(9):
        issue(owner=f"a stranger's session {number}", client=STRANGER)
    pass_time(first.challenge_id, 61)
    again = issue()
    assert (again.challenge_id, again.mailed) == (first.challenge_id, False)
    assert again.resend_at > row(first).resend_at
    assert isinstance(verify(again, live_code(again.challenge_id)), Verified)


def test_code_that_can_neither_be_typed_nor_sent_is_refused_as_any_other(pass_time):
    first = issue()
    for number in range(9):
        issue(owner=f"a stranger's session {number}", client=STRANGER)
    pass_time(first.challenge_id, 700)
    assert issue().cap is Cap.RECIPIENT


def test_wait_for_wrong_codes_ends_nothing_and_stops_new_ones(settings, pass_time):
    settings.OTPMAIL_LOCKOUT_FAILURES = (1, 1)
    first = issue()
    verify(first, wrong_code(first))
    assert another(1).cap is Cap.FAILURES
    assert issue().challenge_id == first.challenge_id


def test_rolled_back_continuation_was_never_promised(pass_time):
    first = issue()
    pass_time(first.challenge_id, 61)
    with pytest.raises(RuntimeError), transaction.atomic():
        issue()
        raise RuntimeError
    assert (len(mail.outbox), row(first).sends) == (1, 1)


# Strangers


def test_stranger_who_starts_three_sign_ins_in_her_name_does_not_lock_her_out(pass_time):
    """In a project that takes the member for the owner, though it should take the session."""
    for _ in range(3):
        issue(client=STRANGER)
    hers = issue()
    assert isinstance(hers, Issued)
    assert len(codes_mailed()) == 1
    assert isinstance(verify(hers, codes_mailed().pop()), Verified)


def test_stranger_who_starts_three_sign_ins_in_sessions_of_his_own_does_not_either(settings):
    settings.OTPMAIL_PURPOSES = {"sign-in": {"BEFORE_SIGN_IN": True}}
    for number in range(3):
        issue(owner=f"his session {number}", client=STRANGER)
    hers = issue(owner="her session")
    result = challenges.verify(
        "sign-in", hers.challenge_id, live_code(hers.challenge_id), owner="her session"
    )
    assert isinstance(result, Verified)


@pytest.mark.parametrize("seconds", [0, 61, 480, 700])
def test_continued_decoy_looks_like_any_other(settings, pass_time, seconds):
    settings.OTPMAIL_PURPOSES = {"welcome": {"BEFORE_SIGN_IN": True}}
    told = []
    for decoy in (True, False):
        named = {"purpose": "welcome", "owner": f"session {decoy}", "decoy": decoy}
        first = issue(**named)
        pass_time(first.challenge_id, seconds)
        again = issue(**named)
        assert again.challenge_id == first.challenge_id
        told += [[shape(first), shape(again)]]
    assert told[0] == told[1]


def shape(issued):
    own = {"challenge_id", "reference", "expires_at", "resend_at"}
    told = {name: value for name, value in dataclasses.asdict(issued).items() if name not in own}
    told["delivery"] |= {"poll_after_ms": ...}  # by the milliseconds since the promise
    return told


# At the cap the oldest ends


def test_at_the_cap_the_oldest_ends_and_its_code_with_it():
    first, second, third = [another(number) for number in range(3)]
    code = live_code(first.challenge_id)
    fourth = another(3)
    assert isinstance(fourth, Issued)
    assert verify(first, code) == Ended(state=ChallengeState.SUPERSEDED)
    for issued in (second, third, fourth):
        assert isinstance(verify(issued, live_code(issued.challenge_id)), Verified)
    entry = AuditEntry.objects.get(action="superseded")
    assert entry.challenge_id == first.challenge_id


def test_cap_holds_for_each_purpose_by_itself(settings):
    settings.OTPMAIL_PURPOSES = {"new-address": {"OPEN_CHALLENGES": 1}}
    kept = [another(number) for number in range(3)]
    kept.append(another(0, purpose="order"))
    superseded = another(0, purpose="new-address")
    kept.append(another(1, purpose="new-address"))
    assert row(superseded).state == ChallengeState.SUPERSEDED
    assert {row(issued).state for issued in kept} == {ChallengeState.PENDING}


def test_cap_that_was_lowered_holds_at_the_next_asking(settings):
    issued = [another(number) for number in range(3)]
    settings.OTPMAIL_OPEN_CHALLENGES = 1
    issued.append(another(3))
    states = [row(one).state for one in issued]
    assert states == [ChallengeState.SUPERSEDED] * 3 + [ChallengeState.PENDING]


def test_what_can_neither_be_typed_nor_sent_again_is_not_open(pass_time):
    over, *_ = [another(number) for number in range(3)]
    pass_time(over.challenge_id, 1700)  # too late for one more mail
    another(3)
    assert row(over).state == ChallengeState.PENDING
    assert len(challenges.open(owner="alice")) == 3


def test_refused_asking_ends_nothing(settings):
    settings.OTPMAIL_CLIENT_QUOTA = (3, 3)
    issued = [another(number, client=STRANGER) for number in range(3)]
    assert another(3, client=STRANGER).cap is Cap.CLIENT
    assert {row(one).state for one in issued} == {ChallengeState.PENDING}
    assert AuditEntry.objects.filter(action="superseded").count() == 0


def test_who_is_refused_inside_a_transaction_may_go_on_in_it(settings):
    settings.OTPMAIL_CLIENT_QUOTA = (3, 3)
    issued = [another(number, client=STRANGER) for number in range(3)]
    with transaction.atomic():
        assert another(3, client=STRANGER).cap is Cap.CLIENT
        bobs = issue(owner="bob")
    assert {row(one).state for one in [*issued, bobs]} == {ChallengeState.PENDING}


def test_receiver_of_the_end_that_refuses_leaves_all_as_it_was():
    issued = [another(number) for number in range(3)]

    def refuse(**_):
        raise RuntimeError

    challenge_ended.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            another(3)
    finally:
        challenge_ended.disconnect(refuse)
    assert {row(one).state for one in issued} == {ChallengeState.PENDING}
    assert Challenge.objects.count() == 3


def test_budget_of_wrong_codes_stays_whatever_ends():
    """Each is compared with three tabs at most, so ten are spent by the fifth challenge."""
    results = []
    for number in range(6):
        results.append(another(number))
        if isinstance(results[-1], Issued):
            verify(results[-1], wrong_code(results[-1]))
    assert results[-1].cap is Cap.FAILURES
    assert AuditEntry.objects.filter(action="wrong").count() >= 10


# Lists


def test_lost_ids_are_found():
    first, second = another(1), another(2, purpose="order")
    issue(owner="bob")
    issue(owner="ALICE", recipient="bob@example.org")
    found = challenges.open(owner="alice")
    assert [one.challenge_id for one in found] == [first.challenge_id, second.challenge_id]
    assert [one.purpose for one in found] == ["sign-in", "order"]
    for one, issued in zip(found, (first, second), strict=True):
        for name in ("reference", "recipient", "digits", "expires_at", "sends_left"):
            assert getattr(one, name) == getattr(issued, name)
    (order,) = challenges.open(owner="alice", purpose="order")
    assert order.challenge_id == second.challenge_id


def test_list_holds_what_can_be_typed_or_sent_again_alone(pass_time):
    used, cancelled, expired, closed = [another(n, purpose=str(n)) for n in range(4)]
    challenges.verify("0", used.challenge_id, live_code(used.challenge_id), owner="alice")
    challenges.cancel("1", cancelled.challenge_id, owner="alice")
    pass_time(expired.challenge_id, 700)  # a new code may be had
    pass_time(closed.challenge_id, 1801)
    assert [one.challenge_id for one in challenges.open(owner="alice")] == [expired.challenge_id]


def test_all_are_cancelled_at_once_and_nobody_elses():
    mine = [another(1), another(2, purpose="order")]
    others = [issue(owner="bob"), issue(owner="ALICE")]
    assert challenges.cancel_all(owner="alice", purpose="order") == 1
    assert challenges.cancel_all(owner="alice") == 1
    assert challenges.cancel_all(owner="alice") == 0
    assert {row(one).state for one in mine} == {ChallengeState.CANCELLED}
    assert {row(one).state for one in others} == {ChallengeState.PENDING}
    assert AuditEntry.objects.filter(action="cancelled").count() == 2


# Races


def test_of_many_presses_at_once_one_makes_a_challenge(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    results = at_once(*[issue] * 16)
    assert len({result.challenge_id for result in results}) == 1
    assert sorted(result.continued for result in results) == [False] + [True] * 15
    assert sum(result.mailed for result in results) == 1
    assert Delivery.objects.count() == 1


def test_of_presses_in_four_processes_one_makes_a_challenge():
    results = in_processes(4, 8, "issue", owner="alice", recipient="alice@example.org")
    assert results == ["Issued"] * 32
    assert (Challenge.objects.count(), Delivery.objects.count()) == (1, 1)


def test_of_many_presses_after_the_cool_down_one_is_mailed(settings, pass_time):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    first = issue()
    pass_time(first.challenge_id, 61)
    results = at_once(*[issue] * 8, *[lambda: resend(first)] * 8)
    mailed = [one for one in results if isinstance(one, Resent) or getattr(one, "mailed", False)]
    assert len(mailed) == 1
    assert {type(one) for one in results} <= {Issued, Resent, TooSoon}
    assert Delivery.objects.count() == 2


def resend(issued):
    return challenges.resend("sign-in", issued.challenge_id, owner="alice")


def test_of_many_other_askings_at_once_three_stay_open(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    results = at_once(*[lambda n=number: another(n) for number in range(16)])
    assert {type(result) for result in results} == {Issued}
    assert Challenge.objects.filter(state=ChallengeState.PENDING).count() == 3
    assert Challenge.objects.filter(state=ChallengeState.SUPERSEDED).count() == 13


def test_asking_typing_and_cancelling_at_once_are_no_deadlock(settings, pass_time):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_LOCKOUT_FAILURES = settings.OTPMAIL_RECIPIENT_QUOTA = ()
    for _ in range(5):
        first = issue()
        pass_time(first.challenge_id, 61)
        wrong = wrong_code(first)
        results = at_once(
            *[issue] * 4,
            *[lambda n=number: another(n) for number in range(4)],
            *[lambda: verify(first, wrong)] * 4,  # noqa: B023 - called before the next
            *[lambda: resend(first)] * 2,  # noqa: B023
            lambda: challenges.cancel_all(owner="alice"),
            lambda: challenges.cancel("sign-in", first.challenge_id, owner="alice"),  # noqa: B023
        )
        known = (Issued, Wrong, Ended, Resent, TooSoon, OverCap, Cancelled, NotFound, int)
        assert all(isinstance(result, known) for result in results)


def test_what_stands_under_a_revoked_key_is_not_open_and_takes_no_place(settings):
    settings.OTPMAIL_OPEN_CHALLENGES = 2
    settings.OTPMAIL_KEYS = {"stolen": keys.new()}
    another(1)
    settings.OTPMAIL_KEYS = {"new": keys.new()}
    settings.OTPMAIL_REVOKED_KEYS = ["stolen"]
    good = [another(number) for number in (2, 3)]
    listed = challenges.open(owner="alice")
    assert [one.challenge_id for one in listed] == [one.challenge_id for one in good]
    assert {row(one).state for one in good} == {"pending"}


def test_another_context_is_another_challenge():
    """What the mail shows is what is confirmed: 99 is not asked for under a mail that says 10."""
    first, second = issue(context={"amount": "10 EUR"}), issue(context={"amount": "99 EUR"})
    assert not second.continued
    assert [row(one).context["amount"] for one in (first, second)] == ["10 EUR", "99 EUR"]
    assert {row(first).state, row(second).state} == {"pending"}
    assert issue(context={"amount": "99\n EUR"}).challenge_id == second.challenge_id
    assert not issue().continued
