"""Nobody is flooded, and nobody who floods locks anybody out."""

import itertools
from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction
from django.db.models import F

from otpmail import challenges
from otpmail.addresses.requester import Client
from otpmail.crypto import keys
from otpmail.db import database
from otpmail.limits.counters import HOUR_MS
from otpmail.models import AuditEntry, Challenge, Counter, Delivery
from otpmail.results import Cap, Issued, OverCap, Resent, Verified
from otpmail.testing import live_code
from tests.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = Client(address="192.0.2.1", device="alice's phone")
STRANGER = Client(address="203.0.113.66")


@pytest.fixture(autouse=True)
def caps(settings):
    """The defaults, but for one that is tested by itself."""
    del settings.OTPMAIL_RECIPIENT_QUOTA
    del settings.OTPMAIL_CLIENT_QUOTA


def issue(**changes):
    named = {"purpose": "sign-in", "owner": "alice", "recipient": "alice@example.org"}
    return challenges.issue(**named | changes)


NUMBERS = itertools.count()


def another(**changes):
    """A new challenge for Alice's address: one of somebody else's session."""
    return issue(**{"owner": f"session {next(NUMBERS)}"} | changes)


def caps_of(results):
    return [result.cap for result in results if isinstance(result, OverCap)]


def an_hour_passes():
    Counter.objects.update(hour_until=F("hour_until") - HOUR_MS, day_until=F("day_until") - HOUR_MS)


# By recipient


def test_an_address_gets_ten_mails_an_hour():
    results = [issue(owner=str(number)) for number in range(12)]
    assert caps_of(results) == [Cap.RECIPIENT] * 2
    assert len(mail.outbox) == 10
    wait = results[-1].retry_at - database.now()
    assert timedelta(minutes=5) < wait <= timedelta(minutes=6)


def test_an_address_gets_twenty_mails_a_day_and_what_a_day_regains():
    sent = []
    for _ in range(24):
        sent.append(sum(isinstance(another(), Issued) for _ in range(12)))
        an_hour_passes()
    assert sent[:2] == [10, 10]
    assert sum(sent) == 20 + 19  # one in 72 minutes


@pytest.mark.parametrize(
    "spelt", ["ALICE@example.org", "alice+bank@example.org", "alice@EXAMPLE.ORG"]
)
def test_one_mailbox_is_counted_however_it_is_spelt(spelt):
    for _ in range(10):
        another()
    assert another(recipient=spelt).cap is Cap.RECIPIENT
    assert isinstance(issue(recipient="bob@example.org"), Issued)


def test_resend_counts_as_a_mail(pass_time):
    issued = issue()
    for _ in range(9):
        another()
    pass_time(issued.challenge_id, 61)
    result = challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert (type(result), result.cap) == (OverCap, Cap.RECIPIENT)
    row = Challenge.objects.get(pk=issued.challenge_id)
    assert (row.sends, row.generation) == (1, 1)


def test_resend_that_is_refused_kills_no_code(pass_time):
    issued = issue()
    code = live_code(issued.challenge_id)
    for _ in range(9):
        another()
    pass_time(issued.challenge_id, 480)  # a new code would be due
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    result = challenges.verify("sign-in", issued.challenge_id, code, owner="alice")
    assert isinstance(result, Verified)


def test_rolled_back_issue_spends_nothing():
    for _ in range(30):
        with pytest.raises(RuntimeError), transaction.atomic():
            another(client=PHONE)
            raise RuntimeError
    assert sum(isinstance(another(client=PHONE), Issued) for _ in range(12)) == 10


def test_fault_of_the_engine_spends_nothing(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Broken"
    for _ in range(30):
        with pytest.raises(OSError, match="broker"):
            another(client=PHONE)
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    assert sum(isinstance(another(client=PHONE), Issued) for _ in range(12)) == 10


def test_refused_issue_leaves_nothing_behind():
    for _ in range(10):
        another(client=PHONE)
    taken = Counter.objects.filter(day_until__gt=0).order_by("pk")
    before = list(taken.values_list("pk", "day_until"))
    assert isinstance(another(client=PHONE), OverCap)
    assert (Challenge.objects.count(), Delivery.objects.count()) == (10, 10)
    assert AuditEntry.objects.filter(action="issued").count() == 10
    assert list(taken.values_list("pk", "day_until")) == before


def test_of_sixty_four_at_once_ten_are_mailed(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    results = at_once(*[another] * 64)
    assert caps_of(results) == [Cap.RECIPIENT] * 54
    assert Delivery.objects.count() == 10


# By client


def test_a_client_asks_for_sixty_codes_an_hour_whatever_the_addresses(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    results = [
        issue(client=STRANGER, owner=str(number), recipient=f"{number}@example.org")
        for number in range(62)
    ]
    assert caps_of(results) == [Cap.CLIENT] * 2
    assert isinstance(issue(client=PHONE), Issued)
    assert isinstance(issue(), Issued)


def test_who_is_refused_as_a_client_counts_against_no_address(settings):
    settings.OTPMAIL_CLIENT_QUOTA = (1, 1)
    for _ in range(30):
        another(client=STRANGER)
    assert sum(isinstance(another(), Issued) for _ in range(12)) == 9


# Known devices


def confirm(client):
    issued = issue(client=client)
    code = live_code(issued.challenge_id)
    challenges.verify("sign-in", issued.challenge_id, code, owner="alice", client=client)


def flood():
    for number in range(20):
        issue(owner=str(number), client=STRANGER)


def test_stranger_who_floods_an_address_does_not_lock_its_owner_out():
    confirm(PHONE)
    flood()
    assert another(client=STRANGER).cap is Cap.RECIPIENT
    results = [another(client=PHONE) for _ in range(5)]
    assert caps_of(results) == [Cap.RECIPIENT] * 2


def test_device_and_spent_quota_outlive_a_new_key(settings):
    settings.OTPMAIL_KEYS = {"a": keys.new()}
    confirm(PHONE)
    flood()
    settings.OTPMAIL_KEYS = {"b": keys.new()} | settings.OTPMAIL_KEYS
    assert another(client=STRANGER).cap is Cap.RECIPIENT
    results = [another(client=PHONE) for _ in range(5)]
    assert caps_of(results) == [Cap.RECIPIENT] * 2


def test_device_that_never_confirmed_has_no_reserve():
    flood()
    assert issue(client=PHONE).cap is Cap.RECIPIENT


def test_device_is_known_for_the_address_that_it_confirmed_only():
    confirm(PHONE)
    for number in range(12):
        issue(owner=str(number), recipient="bob@example.org", client=STRANGER)
    assert issue(recipient="bob@example.org", client=PHONE).cap is Cap.RECIPIENT


# Rotation


def test_purpose_that_rotates_makes_a_new_code_on_each_resend(settings, pass_time):
    settings.OTPMAIL_PURPOSES = {"sign-in": {"ROTATE": True}}
    issued = issue()
    old = live_code(issued.challenge_id)
    pass_time(issued.challenge_id, 61)
    result = challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert isinstance(result, Resent)
    assert result.generation == 2
    assert live_code(issued.challenge_id) != old
