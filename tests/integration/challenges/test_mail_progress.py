"""What is told to whoever waits for a mail."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from otpmail import challenges
from otpmail.challenges import mail_progress
from otpmail.db import database
from otpmail.delivery import leases
from otpmail.models import Delivery, Queue
from otpmail.results import MailStatus, NextStep, NotFound
from tests.mailserver import free_port, route_to, running
from tests.mailtemplates import templates
from tests.rounds import ME, carry

pytestmark = pytest.mark.django_db(transaction=True)


def look_afresh():
    """It is asked once a second."""
    mail_progress._was_slow.cache_clear()


@pytest.fixture(autouse=True)
def fresh_look(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    look_afresh()
    yield
    look_afresh()


def promise(owner="alice"):
    return challenges.issue("sign-in", owner=owner, recipient=f"{owner}@example.org")


def look(issued, owner="alice"):
    return challenges.status("sign-in", issued.challenge_id, owner=owner)


def test_promised_mail_is_queued_and_worth_a_wait():
    issued = promise()
    now = look(issued)
    assert now.delivery == issued.delivery
    assert (now.delivery.status, now.delivery.next_step) == (MailStatus.QUEUED, NextStep.WAIT)
    assert (now.delivery.took_ms, now.delivery.poll_after_ms) == (None, 1000)
    for name in ("reference", "recipient", "digits", "expires_at", "resend_at", "guesses_left"):
        assert getattr(now, name) == getattr(issued, name)


def test_accepted_mail_says_what_it_took():
    issued = promise()
    carry()
    now = look(issued).delivery
    assert (now.status, now.next_step) == (MailStatus.ACCEPTED, NextStep.TYPE_CODE)
    assert 0 <= now.took_ms < 60_000


@pytest.mark.parametrize(
    ("reply", "word", "step"),
    [
        ("450 4.2.0 later", MailStatus.DELAYED, NextStep.WAIT),
        ("550 5.1.1 nobody", MailStatus.FAILED, NextStep.CHECK_ADDRESS),
    ],
)
def test_mail_that_was_not_taken_says_what_to_do(settings, reply, word, step):
    issued = promise()
    with running() as server:
        server.rcpt = [reply]
        route_to(settings, server.port)
        carry()
    now = look(issued).delivery
    assert (now.status, now.next_step) == (word, step)
    assert (now.poll_after_ms is None) is (word is MailStatus.FAILED)


def test_mail_that_could_not_be_sent_is_asked_for_again(settings):
    settings.OTPMAIL_RETRY_SECONDS = ()
    issued = promise()
    with running() as server:
        server.rcpt = ["450 later"]
        route_to(settings, server.port)
        carry()
    now = look(issued).delivery
    assert (now.status, now.reason, now.next_step) == (
        MailStatus.FAILED,
        "gave up",
        NextStep.ASK_AGAIN,
    )


def test_expired_code_is_asked_for_again(pass_time):
    issued = promise()
    carry()
    pass_time(issued.challenge_id, 601)
    assert look(issued).delivery.next_step is NextStep.ASK_AGAIN


def test_when_all_is_over_nothing_is_left_to_do():
    issued = promise()
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    now = look(issued)
    assert (now.state, now.delivery.next_step) == ("cancelled", NextStep.NOTHING)
    assert now.delivery.poll_after_ms is None


@pytest.mark.parametrize(("age", "wait"), [(0, 1000), (15, 2000), (60, 5000), (300, 15_000)])
def test_older_mails_are_asked_for_less_often(pass_time, age, wait):
    issued = promise()
    pass_time(issued.challenge_id, age)
    assert look(issued).delivery.poll_after_ms == wait


def test_newest_mail_is_told_of(pass_time):
    issued = promise()
    carry()
    pass_time(issued.challenge_id, 61)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert look(issued).delivery.status is MailStatus.QUEUED


def test_mail_of_a_new_code_is_told_of(pass_time):
    issued = promise()
    carry()
    pass_time(issued.challenge_id, 601)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert look(issued).delivery.status is MailStatus.QUEUED


def test_another_ones_challenge_looks_like_none():
    issued = promise()
    strangers = [look(issued, owner) for owner in ("mallory", "ALICE")]
    assert strangers == [NotFound(), NotFound()]
    assert challenges.status("other", issued.challenge_id, owner="alice") == NotFound()
    assert challenges.status("sign-in", uuid4(), owner="alice") == NotFound()


def test_mail_is_slow_while_what_is_due_waits(pass_time):
    waiting = promise("bob")
    pass_time(waiting.challenge_id, 31)
    look_afresh()
    issued = promise()
    assert issued.delivery.slow
    assert issued.delivery.status is MailStatus.QUEUED  # it is taken all the same
    carry()
    look_afresh()
    assert not promise("carol").delivery.slow


def test_mail_is_slow_while_what_a_busy_process_holds_waits():
    """Rows are born leased: what its couriers have no time for is in nobody else's queue."""
    promise("bob")
    leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    look_afresh()
    assert not mail_progress.is_slow("sign-in")
    Delivery.objects.update(leased_until=F("leased_until") - timedelta(seconds=31))
    look_afresh()
    assert mail_progress.is_slow("sign-in")


def test_mail_is_not_slow_for_one_that_is_tried_again_later(settings):
    promise("bob")
    with running() as server:
        server.rcpt = ["450 later"]
        route_to(settings, server.port)
        carry()
    look_afresh()
    assert not promise().delivery.slow


def test_looking_is_cheap():
    issued = promise()
    carry()
    with CaptureQueriesContext(connection) as captured:
        look(issued)
    clocks = ("SELECT clock_timestamp()", "SELECT UTC_TIMESTAMP(6)")
    asked = [query["sql"] for query in captured.captured_queries if query["sql"] not in clocks]
    assert len(asked) == 1, "\n".join(asked)


def test_codes_are_not_slow_for_what_other_mail_waits():
    now = database.now()
    Delivery.objects.create(
        queue=Queue.MAIL,
        message_id="<1@example.org>",
        created_at=now - timedelta(hours=1),
        due_at=now - timedelta(hours=1),
        deadline=now + timedelta(hours=1),
    )
    assert not mail_progress.is_slow("sign-in")


def test_mail_is_slow_while_no_route_is_in_order(settings):
    settings.OTPMAIL_CIRCUIT_FAULTS = 1
    route_to(settings, free_port())
    promise("bob")
    carry()
    issued = promise()
    assert issued.delivery.slow
    assert issued.delivery.status is MailStatus.QUEUED


@pytest.mark.parametrize(
    "body", ["{% nonsense %}", "{% include 'missing.txt' %}", "{% url 'nowhere' %}", None]
)
def test_who_waits_for_a_mail_that_cannot_be_rendered_is_told_to_ask_again(settings, body):
    named = {"otpmail/sign-in/body.txt": body} if body else {}
    broken = templates(named)
    if body is None:
        broken["OPTIONS"]["loaders"] = [("django.template.loaders.locmem.Loader", {})]
    settings.TEMPLATES = [broken]
    issued = promise()
    carry()
    assert look(issued).delivery.next_step is NextStep.ASK_AGAIN
    settings.TEMPLATES = [templates({})]
    Delivery.objects.update(leased_by="", leased_until=None, due_at=F("created_at"))
    carry()
    assert look(issued).delivery.next_step is NextStep.TYPE_CODE
