"""Whoever is not signed in learns nothing of who is known here."""

import dataclasses
import re

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test.utils import CaptureQueriesContext

from otpmail import challenges
from otpmail.db import database
from otpmail.db.compat import uuid7
from otpmail.models import Challenge, Delivery
from otpmail.results import Cap, Ended, Resent, Wrong
from otpmail.testing import live_code
from tests import mailserver
from tests.rounds import carry, one_round

pytestmark = pytest.mark.django_db(transaction=True)

HOLDER = "elsewhere/1/1/me"


@pytest.fixture(autouse=True)
def before_sign_in(settings):
    settings.OTPMAIL_PURPOSES = {"welcome": {"BEFORE_SIGN_IN": True}}


def issue(decoy, recipient="alice@example.org", **changes):
    named = {"owner": "a session", "recipient": recipient, "decoy": decoy}
    return challenges.issue("welcome", **named | changes)


def verify(issued, typed, owner="a session"):
    return challenges.verify("welcome", issued.challenge_id, typed, owner=owner)


def shape(issued):
    """All that a client sees, but for what differs between any two."""
    own = {"challenge_id", "reference", "expires_at", "resend_at"}
    return {name: value for name, value in dataclasses.asdict(issued).items() if name not in own}


def test_decoy_looks_like_any_other_and_mails_nothing():
    assert shape(issue(decoy=True)) == shape(issue(decoy=False))
    assert len(mail.outbox) == 1
    assert sorted(Delivery.objects.values_list("state", "reason")) == [
        ("accepted", ""),
        ("dropped", "decoy"),
    ]


FATES = {
    "taken": {"state": "accepted", "rounds": 1},
    "refused": {"state": "failed", "reason": "refused", "rounds": 1},
    "suppressed": {"state": "failed", "reason": "suppressed"},
    "bounced": {"state": "accepted", "event": "bounced"},
    "deferred": {"state": "accepted", "event": "deferred"},
    "tried again": {"state": "queued", "reason": "", "rounds": 2},
}


def told(issued, owner):
    """All that is told of it later, by each call that tells of a mail."""
    named = {"owner": owner}
    answers = [
        shape(challenges.status("welcome", issued.challenge_id, **named)),
        shape(challenges.open(**named)[0]),
        shape(issue(Challenge.objects.get(pk=issued.challenge_id).is_decoy, **named)),
    ]
    for answer in answers:
        del answer["delivery"]["slow"]  # tells of all mail, as it is in this second
    return answers


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("seconds", [0, 61, 700])
def test_nothing_that_becomes_of_a_mail_is_told_before_sign_in(fate, seconds, pass_time):
    issued = {name: issue(name == "decoy", owner=name) for name in ("known", "decoy")}
    known = Challenge.objects.get(pk=issued["known"].challenge_id)
    now = known.created_at
    event = {"event_at": now} if "event" in FATES[fate] else {}
    settled = {"settled_at": None if "again" in fate else now}
    Delivery.objects.filter(challenge=known).update(**FATES[fate], **event, **settled)
    for one in issued.values():
        pass_time(one.challenge_id, seconds)
    assert told(issued["known"], "known") == told(issued["decoy"], "decoy")


def test_mail_that_went_again_by_another_route_is_not_told_before_sign_in(pass_time):
    issued = {name: issue(name == "decoy", owner=name) for name in ("known", "decoy")}
    for one in issued.values():
        pass_time(one.challenge_id, 40)
    first = Delivery.objects.get(challenge=issued["known"].challenge_id)
    Delivery.objects.filter(pk=first.pk).update(event="bounced", event_at=first.created_at)
    first.pk, first.avoid_route, first.created_at = uuid7(), "default", database.now()
    first.message_id = "<another@example.org>"
    first.save(force_insert=True)
    assert told(issued["known"], "known") == told(issued["decoy"], "decoy")


def test_decoy_costs_the_same_statements(settings):
    """So the same time: the request cannot tell either, and only a courier finds out."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    # Mail is slow while its route is out of order: the database, once a second, is not asked.
    settings.OTPMAIL_CIRCUIT_FAULTS = 1
    mailserver.route_to(settings, mailserver.free_port())
    issue(decoy=False)
    carry()
    told = []
    for decoy in (False, True):
        with CaptureQueriesContext(connection) as captured:
            issued = issue(decoy, owner=f"session {decoy}")
            wrong = f"{(int(live_code(issued.challenge_id)) + 1) % 10**8:08d}"
            verify(issued, wrong, owner=f"session {decoy}")
            again = issue(decoy, owner=f"session {decoy}")
        assert again.continued
        assert issued.delivery.slow
        told.append([re.sub(r"'[^']*'|\d+", "?", row["sql"]) for row in captured.captured_queries])
    assert [len(queries) for queries in told] == [len(told[0])] * 2
    assert [query.split("?")[0] for query in told[0]] == [query.split("?")[0] for query in told[1]]


def test_decoy_takes_guesses_and_none_is_right():
    issued = issue(decoy=True)
    code = live_code(issued.challenge_id)
    assert [verify(issued, code) for _ in range(4)] == [
        Wrong(guesses_left=left) for left in (4, 3, 2, 1)
    ]
    assert verify(issued, code) == Ended(state="exhausted")


def test_decoy_is_resent_like_any_other(pass_time):
    issued = issue(decoy=True)
    pass_time(issued.challenge_id, 61)
    result = challenges.resend("welcome", issued.challenge_id, owner="a session")
    assert isinstance(result, Resent)
    assert mail.outbox == []


def test_decoy_counts_as_a_mail_to_the_address(settings):
    del settings.OTPMAIL_RECIPIENT_QUOTA
    for known in (True, False):
        recipient = f"{known}@example.org"
        results = [issue(not known, recipient, owner=str(n)) for n in range(11)]
        assert results[10].cap is Cap.RECIPIENT


def test_decoy_is_never_mailed_by_a_courier(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    issue(decoy=True)
    Delivery.objects.update(leased_by=HOLDER, leased_until=Challenge.objects.get().expires_at)
    assert one_round(Delivery.objects.get().pk, HOLDER) is None
    assert mail.outbox == []


def test_codes_before_sign_in_are_long():
    assert issue(decoy=False).digits == 8
    assert len(live_code(Challenge.objects.get().pk)) == 8


def test_decoy_for_somebody_who_is_signed_in_is_refused():
    with pytest.raises(ImproperlyConfigured, match="BEFORE_SIGN_IN"):
        challenges.issue("transfer", owner="1", recipient="alice@example.org", decoy=True)


def test_long_code_is_asked_for_by_issue(settings):
    assert challenges.issue("x", owner="1", recipient="a@example.org").digits == 6
    assert challenges.issue("x", owner="1", recipient="a@example.org", long=True).digits == 8
    settings.OTPMAIL_PURPOSES = {"x": {"LONG_DIGITS": 10}}
    assert challenges.issue("x", owner="1", recipient="a@example.org", long=True).digits == 10
