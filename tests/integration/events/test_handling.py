"""What a provider tells afterwards, in any order and more than once."""

import itertools
import logging
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from otpmail import challenges
from otpmail.crypto import keys
from otpmail.db import database
from otpmail.delivery import leases
from otpmail.events import handling
from otpmail.events.handling import ReceivedEvent
from otpmail.limits import suppressions
from otpmail.models import Attempt, AuditEntry, Delivery, DeliveryEvent, Queue, Suppression
from otpmail.testing import live_code
from tests.backends import SlowerThanItsReport
from tests.crowd import at_once
from tests.mailserver import route_through
from tests.rounds import again, one_round

pytestmark = pytest.mark.django_db(transaction=True)

ME = "elsewhere/1/1/me"
ADDRESS = "alice@example.org"


@pytest.fixture
def two_routes(settings):
    settings.OTPMAIL_ROUTES = ["default", "second"]
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    locmem = {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}
    route_through(settings, locmem["BACKEND"])
    settings.MAILERS = {"default": locmem, "second": locmem}


def promise(**changes):
    named = {"purpose": "sign-in", "owner": "alice", "recipient": ADDRESS} | changes
    return challenges.issue(**named)


def carry():
    for pk in leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=10):
        one_round(pk)


def tell(word, *, after=1.0, delivery=None, dead=False, reason="Mailgun: 550 5.1.1 no such user"):
    """Report a word so many seconds after the promise."""
    delivery = delivery or Delivery.objects.order_by("created_at").first()
    at = delivery.created_at + timedelta(seconds=after)
    report = ReceivedEvent(kind=word, at=at, reason=reason, address_is_dead=dead)
    return handling.handle(delivery.pk, report)


def look(issued):
    return challenges.status("sign-in", issued.challenge_id, owner="alice").delivery


ALL = [
    (DeliveryEvent.DEFERRED, 1),
    (DeliveryEvent.DELIVERED, 2),
    (DeliveryEvent.BOUNCED, 3),
    (DeliveryEvent.DEFERRED, 4),
]


@pytest.mark.parametrize("order", [*itertools.permutations(ALL)], ids=str)
def test_reports_in_any_order_leave_one_truth(order):
    promise()
    for word, after in order:
        tell(word, after=after)
    assert Delivery.objects.get().event == "bounced"


@pytest.mark.parametrize(
    "order", [*itertools.permutations([*ALL[1:3], (DeliveryEvent.COMPLAINED, 1)])]
)
def test_a_complaint_outweighs_all(order):
    """Who complains has the mail, whatever a clock says."""
    promise()
    for word, after in order:
        tell(word, after=after)
    assert Delivery.objects.get().event == "complained"


@pytest.mark.parametrize(
    "order", [*itertools.permutations([DeliveryEvent.DELIVERED, DeliveryEvent.BOUNCED])]
)
def test_of_two_reports_of_one_moment_the_bounce_holds(order):
    promise()
    for word in order:
        tell(word)
    assert Delivery.objects.get().event == "bounced"


def test_mail_that_came_after_a_bounce_is_delivered():
    promise()
    tell(DeliveryEvent.BOUNCED, after=1)
    tell(DeliveryEvent.DELIVERED, after=2)
    assert Delivery.objects.get().event == "delivered"


def test_the_same_report_twice_is_one(caplog):
    promise()
    with caplog.at_level(logging.INFO, "otpmail"):
        tell(DeliveryEvent.DELIVERED)
        tell(DeliveryEvent.DELIVERED)
    assert caplog.text.count("Email delivered") == 1


def test_the_same_report_many_times_at_once_is_one(caplog, two_routes):
    promise()
    carry()
    with caplog.at_level(logging.INFO, "otpmail"):
        at_once(*[lambda: tell(DeliveryEvent.BOUNCED, dead=True)] * 4)
    assert caplog.text.count("Email bounced") == 1
    assert (Delivery.objects.count(), Suppression.objects.count()) == (2, 1)


def test_report_before_our_own_note_holds(settings):
    """A provider can be faster than the transaction that settles."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    route_through(settings, "tests.backends.FasterThanOurNote")
    issued = promise()
    carry()
    assert (Delivery.objects.get().state, look(issued).status) == ("accepted", "delivered")
    assert Attempt.objects.get().outcome == "accepted"
    assert AuditEntry.objects.filter(action="mailed").count() == 1


ENDS = [
    (DeliveryEvent.DELIVERED, False),
    (DeliveryEvent.COMPLAINED, False),
    (DeliveryEvent.BOUNCED, True),
    (DeliveryEvent.REJECTED, True),
]


@pytest.fixture
def in_doubt(settings):
    """Promise a code whose first try may have arrived, and that waits for the next one."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    route_through(settings, "tests.backends.BreaksOff")
    issued = promise()
    carry()
    assert (Attempt.objects.get().outcome, look(issued).status) == ("unknown", "delayed")
    return issued


@pytest.mark.parametrize(("word", "dead"), ENDS)
def test_mail_that_arrived_after_all_or_cannot_is_not_tried_again(in_doubt, word, dead):
    tell(word, dead=dead)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by, delivery.rounds) == ("accepted", "", 1)
    assert one_round(delivery.pk) is None
    assert Attempt.objects.count() == 1


@pytest.mark.parametrize(
    "word", [DeliveryEvent.BOUNCED, DeliveryEvent.REJECTED, DeliveryEvent.DEFERRED]
)
def test_mail_that_may_yet_get_through_is_tried_again(in_doubt, word):
    """A full mailbox, or a sender that is blocked for now."""
    tell(word)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by) == ("queued", ME)


@pytest.mark.parametrize("word", [DeliveryEvent.DELIVERED, DeliveryEvent.BOUNCED])
def test_report_that_comes_while_a_mail_is_tried_again_calls_it_off(
    in_doubt, settings, monkeypatch, word
):
    monkeypatch.setattr(SlowerThanItsReport, "word", word, raising=False)
    route_through(settings, "tests.backends.SlowerThanItsReport")
    again()
    assert (Delivery.objects.get().state, Attempt.objects.count(), mail.outbox) == (
        "accepted",
        1,
        [],
    )


def test_mail_that_was_given_up_and_arrived_was_accepted(in_doubt, settings):
    settings.OTPMAIL_RETRY_SECONDS = []
    again()
    assert Delivery.objects.get().state == "failed"
    tell(DeliveryEvent.DELIVERED)
    assert (Delivery.objects.get().state, Delivery.objects.get().reason) == ("accepted", "")


def test_dropped_mail_stays_dropped(in_doubt):
    challenges.cancel("sign-in", in_doubt.challenge_id, owner="alice")
    again()
    tell(DeliveryEvent.DELIVERED)
    assert Delivery.objects.get().state == "dropped"


def test_report_of_an_unknown_mail_changes_nothing():
    promise()
    now = database.now()
    assert not handling.handle(
        uuid4(), ReceivedEvent(kind=DeliveryEvent.BOUNCED, at=now, address_is_dead=True)
    )
    assert not Suppression.objects.exists()


def test_reports_are_logged_with_masked_words_only(caplog):
    promise()
    with caplog.at_level(logging.INFO, "otpmail"):
        tell(DeliveryEvent.BOUNCED, dead=True)
    (line,) = [r for r in caplog.records if "bounced" in r.getMessage()]
    assert line.levelname == "WARNING"
    assert ADDRESS not in caplog.text


@pytest.mark.parametrize(
    "word", [DeliveryEvent.DEFERRED, DeliveryEvent.BOUNCED, DeliveryEvent.REJECTED]
)
def test_mail_that_did_not_get_through_leaves_once_more_by_another_route(two_routes, word):
    issued = promise()
    carry()
    tell(word)
    assert look(issued).status == "queued"
    carry()
    first, second = Delivery.objects.order_by("created_at")
    assert second.avoid_route == "default"
    assert [second.attempts.get().route, second.generation] == ["second", first.generation]
    assert look(issued).status == "accepted"


def test_once_and_not_twice(two_routes):
    promise()
    carry()
    tell(DeliveryEvent.DEFERRED, after=1)
    tell(DeliveryEvent.DEFERRED, after=2)
    tell(DeliveryEvent.BOUNCED, after=3)
    carry()
    tell(DeliveryEvent.BOUNCED, delivery=Delivery.objects.order_by("created_at").last())
    assert Delivery.objects.count() == 2


def test_mail_that_bounced_on_both_routes_bounced(two_routes):
    issued = promise()
    carry()
    tell(DeliveryEvent.BOUNCED)
    carry()
    tell(DeliveryEvent.BOUNCED, delivery=Delivery.objects.order_by("created_at").last())
    now = look(issued)
    assert (now.status, now.next_step, now.poll_after_ms) == ("bounced", "check-address", None)


def test_first_mail_that_came_after_all_is_what_is_told(two_routes):
    issued = promise()
    carry()
    tell(DeliveryEvent.DEFERRED, after=1)
    tell(DeliveryEvent.DELIVERED, after=2)
    assert look(issued).status == "delivered"


def test_route_that_the_purpose_does_not_take_is_no_other(two_routes, settings):
    settings.OTPMAIL_PURPOSES = {"sign-in": {"ROUTES": ["second"]}}
    promise()
    carry()
    tell(DeliveryEvent.BOUNCED)
    assert Delivery.objects.count() == 1


def test_bounce_before_our_own_note_avoids_the_first_route(two_routes):
    promise()
    tell(DeliveryEvent.BOUNCED)
    assert [mail.avoid_route for mail in Delivery.objects.order_by("created_at")] == ["", "default"]


def test_with_one_route_there_is_no_other():
    promise()
    tell(DeliveryEvent.BOUNCED)
    assert Delivery.objects.count() == 1


def test_dead_code_is_not_sent_again(two_routes, pass_time):
    issued = promise()
    carry()
    pass_time(issued.challenge_id, 500)
    tell(DeliveryEvent.BOUNCED)
    assert Delivery.objects.count() == 1


def test_answered_code_is_not_sent_again(two_routes):
    issued = promise()
    carry()
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    tell(DeliveryEvent.BOUNCED)
    assert Delivery.objects.count() == 1


def test_delivered_mail_is_not_sent_again(two_routes):
    promise()
    carry()
    tell(DeliveryEvent.DELIVERED)
    assert Delivery.objects.count() == 1


def test_dead_address_is_sent_no_next_code():
    promise()
    tell(DeliveryEvent.BOUNCED, dead=True)
    issued = promise(recipient="Alice@Example.ORG")
    assert (issued.delivery.status, issued.delivery.reason) == ("failed", "suppressed")
    assert (look(issued).next_step, look(issued).poll_after_ms) == ("check-address", None)
    assert Delivery.objects.get(state="failed").attempts.count() == 0


def test_suppressed_resend_fails_too(pass_time):
    issued = promise()
    tell(DeliveryEvent.BOUNCED, dead=True)
    pass_time(issued.challenge_id, 61)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert look(issued).reason == "suppressed"


def test_issue_answers_alike_for_an_address_that_is_suppressed_and_one_that_is_not():
    """All but the delivery, which a view before sign-in shows to nobody."""
    first = promise()
    tell(DeliveryEvent.BOUNCED, dead=True)
    second = promise()
    assert type(first) is type(second)
    for name in ("recipient", "digits", "guesses_left", "sends_left"):
        assert getattr(first, name) == getattr(second, name)


@pytest.mark.parametrize(
    ("word", "dead", "suppressed"),
    [
        (DeliveryEvent.BOUNCED, True, True),
        (DeliveryEvent.BOUNCED, False, False),  # a full mailbox
        (DeliveryEvent.REJECTED, True, True),
        (DeliveryEvent.COMPLAINED, False, True),
        (DeliveryEvent.DEFERRED, False, False),
        (DeliveryEvent.DELIVERED, False, False),
    ],
)
def test_only_dead_addresses_and_complaints_are_suppressed(word, dead, suppressed):
    promise()
    tell(word, dead=dead)
    assert Suppression.objects.exists() is suppressed


def test_another_address_is_not_suppressed():
    promise()
    tell(DeliveryEvent.BOUNCED, dead=True)
    assert promise(recipient="alice@example.net").delivery.status == "queued"


def test_look_alike_does_not_suppress_the_real_one():
    promise(recipient="\u017fam@example.org")  # a long s, whose capital is an S
    tell(DeliveryEvent.BOUNCED, dead=True)
    assert promise(recipient="sam@example.org").delivery.status == "queued"


def test_suppression_ends_by_itself(settings):
    settings.OTPMAIL_SUPPRESS_SECONDS = 60
    now = database.now()
    suppressions.suppress(ADDRESS, DeliveryEvent.BOUNCED, since=now)
    assert suppressions.is_suppressed(ADDRESS, now=now + timedelta(seconds=59))
    assert not suppressions.is_suppressed(ADDRESS, now=now + timedelta(seconds=60))


def test_nobody_is_suppressed_where_the_setting_is_nought(settings):
    settings.OTPMAIL_SUPPRESS_SECONDS = 0
    promise()
    tell(DeliveryEvent.BOUNCED, dead=True)
    assert not Suppression.objects.exists()


def test_suppression_is_lifted_by_hand(capsys):
    promise()
    tell(DeliveryEvent.BOUNCED, dead=True, after=0)
    call_command("otpmail_lift", ADDRESS)
    assert promise(purpose="order").delivery.status == "queued"
    with pytest.raises(CommandError, match="not suppressed"):
        call_command("otpmail_lift", ADDRESS)


def test_suppression_is_lifted_by_a_mail_that_arrived():
    promise()
    tell(DeliveryEvent.BOUNCED, dead=True, after=1)
    tell(DeliveryEvent.DELIVERED, after=2)
    assert promise(purpose="order").delivery.status == "queued"


def test_rotated_key_lifts_nothing_and_revoked_key_does(settings):
    old, new = ({name: letter * 43 + "="} for name, letter in (("old", "A"), ("new", "B")))
    settings.OTPMAIL_KEYS = {**old}
    now = database.now()
    suppressions.suppress(ADDRESS, DeliveryEvent.BOUNCED, since=now)
    settings.OTPMAIL_KEYS = {**new, **old}
    assert suppressions.is_suppressed(ADDRESS, now=now)
    settings.OTPMAIL_KEYS = {**new}
    assert not suppressions.is_suppressed(ADDRESS, now=now)


def test_no_address_is_at_rest_in_a_suppression():
    suppressions.suppress(ADDRESS, DeliveryEvent.BOUNCED, since=database.now())
    row = Suppression.objects.get()
    assert "alice" not in f"{row} {row.__dict__}"


def test_report_of_a_projects_own_mail_is_recorded_and_nothing_more(two_routes):
    """Its address is sealed with it, and whether to write again is the project's affair."""
    now = database.now()
    mail = Delivery.objects.create(
        queue=Queue.MAIL,
        message_id="<1@example.org>",
        created_at=now,
        due_at=now,
        deadline=now + timedelta(hours=1),
    )
    assert tell(DeliveryEvent.BOUNCED, delivery=mail, dead=True)
    assert Delivery.objects.get().event == "bounced"
    assert not Suppression.objects.exists()


def spaced(code):
    return " ".join(code)


@pytest.mark.parametrize("written", [str, spaced, "-".join, "".join, "\u200b".join, "&nbsp;".join])
def test_no_code_of_the_challenge_is_kept_of_what_a_provider_quotes(written, pass_time, caplog):
    """Neither the live one nor those that it killed; wherever the words are cut."""
    issued = promise()
    first = live_code(issued.challenge_id)
    pass_time(issued.challenge_id, 420)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    codes = [first, live_code(issued.challenge_id)]
    quoted = f"{written(codes[0])} is your code. {written(codes[1])} is your code."
    tell(DeliveryEvent.BOUNCED, reason=f"Mailgun: 550 5.7.1 {'spam ' * 30} {quoted}")
    kept = Delivery.objects.exclude(event="").get().event_reason
    for text in (kept, caplog.text):
        assert not re.search(r"\d", text.partition("spam")[2].partition("delivery=")[0])
    assert kept.startswith("Mailgun: 550 5.7.1 spam")


def test_of_a_report_under_a_key_that_is_not_here_no_digit_is_kept(settings):
    settings.OTPMAIL_KEYS = {"newer": keys.new()}
    promise()
    settings.OTPMAIL_KEYS = {"older": keys.new()}
    tell(DeliveryEvent.BOUNCED, reason="Mailgun: 550 no: 12 34 56 is your code")
    assert Delivery.objects.get().event_reason == "Mailgun: *** no: ** ** ** is your code"


def test_report_of_a_mail_with_no_challenge_keeps_no_run_of_digits():
    now = database.now()
    mail = Delivery.objects.create(
        queue=Queue.MAIL,
        message_id="<1@example.org>",
        created_at=now,
        due_at=now,
        deadline=now + timedelta(hours=1),
    )
    tell(DeliveryEvent.BOUNCED, delivery=mail, reason="550 no: 123456 resets your password")
    assert Delivery.objects.get().event_reason == "550 no: ****** resets your password"
