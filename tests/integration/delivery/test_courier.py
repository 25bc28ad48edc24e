"""One round, with a real mail server at the other end."""

import logging
import re
import socket
from datetime import timedelta

import pytest
from django.db import DatabaseError

from otpmail import challenges, closing, routes
from otpmail.db import database
from otpmail.delivery import leases, round_results
from otpmail.exceptions.foreign import OncePerMinute
from otpmail.models import Attempt, Challenge, Delivery, Queue
from otpmail.testing import live_code
from tests import mailserver, orders
from tests.mailtemplates import templates
from tests.rounds import ME, carry, one_round, promise
from tests.ruled import Ruled
from tests.scripted import scripted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[mailserver.OUR_BACKEND, mailserver.DJANGOS_BACKEND])
def backend(request):
    return request.param


@pytest.fixture
def server(settings, backend):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    with mailserver.running() as server:
        mailserver.route_to(settings, server.port, backend=backend)
        yield server
        routes.close()


def test_accepted_mail_is_settled(server):
    issued = promise()
    assert carry() == [None]
    (mail,) = server.wait_for(1)
    assert live_code(issued.challenge_id) in mailserver.text_of(mail).splitlines()[0]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.rounds) == ("accepted", 1)
    assert Attempt.objects.get().outcome == "accepted"


def test_accepted_mail_keeps_the_queue_id_that_the_server_told(settings):
    """Django's own backend does not tell it."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    with mailserver.running() as server:
        mailserver.route_to(settings, server.port)
        promise()
        carry()
    assert Attempt.objects.values_list("code", "reply").get() == (250, "2.0.0 Ok: queued as 4F2A")


def test_connection_stays_open_between_mails(server):
    for _ in range(3):
        promise()
    carry()
    assert (len(server.mails), server.sessions) == (3, 1)


def test_server_that_restarts_meanwhile_costs_no_attempt(settings, backend):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    with mailserver.running() as first:
        mailserver.route_to(settings, first.port, backend=backend)
        promise()
        carry()
    with mailserver.running(port=first.port) as second:
        promise()
        assert carry() == [None]
        second.wait_for(1)
    routes.close()
    assert set(Delivery.objects.values_list("state", "rounds")) == {("accepted", 1)}


def test_transient_refusal_is_tried_again_with_the_same_mail(server):
    server.data = ["451 4.3.0 later", "451 4.3.0 later", mailserver.OK]
    promise()
    (first,) = carry()
    assert 1.8 <= first <= 2.2
    delivery_id = Delivery.objects.get().pk
    assert 3.6 <= one_round(delivery_id) <= 4.4
    assert one_round(delivery_id) is None
    assert Delivery.objects.get().state == "accepted"
    outcomes = Attempt.objects.order_by("pk").values_list("outcome", "code", "reply")
    *failed, accepted = outcomes
    assert failed == [("transient", 451, "4.3.0 later")] * 2
    assert accepted[0] == "accepted"
    (mail,) = server.mails
    assert mail["Message-ID"] == Delivery.objects.get().message_id


def test_recipient_refused_for_good_fails_at_once(server, caplog):
    server.rcpt = ["550 5.1.1 <alice@example.org>: no such user"]
    promise()
    assert carry() == [None]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason) == ("failed", "refused")
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "a***@example.org" in record.message
    assert "alice@example.org" not in caplog.text


@pytest.mark.parametrize("is_ended", [False, True], ids=["by its deadline", "by a sweep"])
def test_code_that_died_in_an_outage_ends_in_an_error(
    settings, caplog, pass_time, server, is_ended
):
    mailserver.route_to(settings, mailserver.free_port())
    issued = promise()
    carry()
    pass_time(issued.challenge_id, 660)
    if is_ended:
        closing.expire(now=database.now() + timedelta(hours=1), seconds=60)
        assert Challenge.objects.get().state == "expired"
    one_round(Delivery.objects.get().pk)
    (record,) = [record for record in caplog.records if "Email dropped" in record.getMessage()]
    assert record.levelno == logging.ERROR
    assert "reason=expired" in record.getMessage()


def fail(*_, **__):
    raise DatabaseError("the facts' own database is away")


def test_fault_that_each_round_meets_calls_somebody_once_a_minute(
    settings, caplog, clock, monkeypatch, server
):
    monkeypatch.setattr(round_results, "once_per_minute", OncePerMinute())
    settings.OTPMAIL_PURPOSES = {"order": {"FACTS": "tests.integration.delivery.test_courier.fail"}}
    ids = [promise(owner=str(number)).challenge_id for number in range(3)]
    Challenge.objects.filter(pk__in=ids).update(purpose="order", is_bound=True)
    carry()
    clock.move(61)
    one_round(Delivery.objects.first().pk)
    levels = [(record.levelname, bool(record.exc_info)) for record in caplog.records]
    assert levels == [("ERROR", True), ("WARNING", False), ("WARNING", False), ("ERROR", True)]


def test_recipient_refused_for_now_is_tried_again(server):
    """Smtplib gives 450 and 550 as one exception, whose dict tells them apart."""
    server.rcpt = ["450 4.2.1 mailbox busy"]
    promise()
    assert carry() != [None]
    assert Delivery.objects.get().state == "queued"


def test_last_failed_attempt_fails_the_delivery(server, caplog):
    server.data = ["451 4.7.1 greylisted"]
    promise()
    carry()
    delivery_id = Delivery.objects.get().pk
    waits = [one_round(delivery_id) for _ in range(3)]
    assert waits[-1] is None
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason, delivery.rounds) == ("failed", "gave up", 4)
    levels = [record.levelname for record in caplog.records if record.name == "otpmail"]
    assert levels == ["WARNING"] * 3 + ["ERROR"]


def test_dead_server_is_a_transient_outcome(settings, backend):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    mailserver.route_to(settings, mailserver.free_port(), backend=backend)
    promise()
    assert carry() != [None]
    assert Attempt.objects.get().outcome == "transient"


def test_silent_server_costs_its_timeout_and_no_more(settings, backend, silent_port):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    mailserver.route_to(settings, silent_port, backend=backend, timeout=0.3)
    promise()
    assert carry() != [None]
    attempt = Attempt.objects.get()
    assert attempt.outcome == "transient"
    assert attempt.took_ms < 20_000  # a lease would bound it by more


@pytest.fixture
def silent_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# Never a dead code


def test_answered_challenge_is_not_mailed_again(server):
    issued = promise()
    challenges.verify("sign-in", issued.challenge_id, live_code(issued.challenge_id), owner="alice")
    assert carry() == [None]
    assert dropped() == ("dropped", "confirmed")
    assert server.mails == []


def test_cancelled_challenge_is_not_mailed(server):
    issued = promise()
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    carry()
    assert dropped() == ("dropped", "cancelled")


def test_mail_with_too_little_life_left_is_not_sent(server, pass_time):
    pass_time(promise().challenge_id, 481)
    carry()
    assert dropped() == ("dropped", "expired")


def test_superseded_code_waiting_for_its_retry_is_not_sent(server, pass_time):
    server.data = ["451 4.3.0 later", mailserver.OK]
    issued = promise()
    carry()
    old = Delivery.objects.get()
    pass_time(issued.challenge_id, 430)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    assert one_round(old.pk) is None
    assert Delivery.objects.get(pk=old.pk).reason == "superseded"
    carry()
    assert len(server.mails) == 1


def test_code_that_expires_while_it_waits_for_its_retry_is_not_sent(server, pass_time):
    server.data = ["451 4.3.0 later", mailserver.OK]
    issued = promise()
    carry()
    pass_time(issued.challenge_id, 481)
    assert one_round(Delivery.objects.get().pk) is None
    assert dropped() == ("dropped", "expired")


def test_retry_that_would_come_after_the_deadline_is_not_waited_for(server, pass_time, settings):
    settings.OTPMAIL_RETRY_SECONDS = (200,)
    server.data = ["451 4.3.0 later"]
    pass_time(promise().challenge_id, 380)  # of 480
    assert carry() == [None]
    assert dropped() == ("failed", "gave up")


def test_challenge_that_ends_while_the_connection_is_opened_is_not_mailed(settings):
    """The second look, right before the envelope."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    mailserver.route_through(settings, "tests.backends.SlowToOpen")
    promise()
    assert carry() == [None]
    assert dropped() == ("dropped", "cancelled")


def test_fact_changed_while_it_waits_ends_the_challenge(server, orders):
    issued = promise(purpose="order", facts=place())
    change()
    carry()
    assert dropped() == ("dropped", "changed")
    assert Challenge.objects.get(pk=issued.challenge_id).state == "changed"


def place():
    return orders.place()


def change():
    orders.ORDER["amount_minor"] = 1


def test_broken_template_breaks_no_courier_and_shows_no_code(server, settings, caplog):
    settings.TEMPLATES = [templates({"otpmail/default/body.txt": "{{ code|add:missing }}"})]
    issued = promise()
    assert carry() != [None]
    attempt = Attempt.objects.get()
    assert attempt.reply == "not rendered: VariableDoesNotExist"
    assert live_code(issued.challenge_id) not in caplog.text


def test_reply_that_quotes_the_code_is_redacted(server):
    issued = promise()
    code = live_code(issued.challenge_id)
    server.data = [f"554 5.7.1 looks like spam: {code} is your code"]
    carry()
    assert Attempt.objects.get().reply == "5.7.1 looks like spam: ****** is your code"


@pytest.mark.parametrize("written", [" ".join, "-".join, "&nbsp;".join, "=\\r\\n".join])
@pytest.mark.parametrize("status", ["550 5.7.1", "421 4.3.2"])
def test_no_code_is_kept_or_logged_of_a_reply_that_quotes_it(server, caplog, written, status):
    """Nor in the line that tells of a route's fault."""
    for _ in range(3):  # until the circuit opens
        code = written(live_code(promise().challenge_id))
        server.data = [f"{status} looks like spam: {code} is your code"]
        carry()
    told = [attempt.reply for attempt in Attempt.objects.all()]
    told += re.findall(r"reply='(.*?)'", caplog.text)
    assert len(told) >= 4
    for reply in told:
        assert re.match(r"\d\.\d\.\d looks like spam: \*", reply)
        assert not re.search(r"\d", reply[5:])
    assert ("circuit opened" in caplog.text) is status.startswith("421")


def test_other_owner_does_no_round(server):
    promise()
    (delivery_id,) = leases.claim(
        "elsewhere/2/2/other", queue=Queue.CODE, now=database.now(), limit=1
    )
    assert one_round(delivery_id) is None
    assert Attempt.objects.count() == 0


def dropped():
    return Delivery.objects.values_list("state", "reason").get()


def test_answer_that_is_neither_yes_nor_no_is_recorded_and_not_called_accepted(server):
    """smtplib raises at 252 to RCPT, and the mail was not sent."""
    server.rcpt = ["252 2.1.5 cannot verify, will try"]
    promise()
    carry()
    accepted = Delivery.objects.get().state == "accepted"
    assert accepted == bool(server.mails)


def test_garbled_reply_is_recorded(server):
    server.data = ["garbage without a code"]
    promise()
    carry()
    assert Attempt.objects.count() == 1


def test_route_that_cannot_be_built_is_the_routes_fault(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    mailserver.route_through(settings, "tests.backends.Nowhere")
    promise()
    carry()
    assert Attempt.objects.get().outcome == "transient"


def test_backend_that_says_it_sent_nothing_has_sent_nothing(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    mailserver.route_through(settings, "tests.backends.SendsNothing")
    promise()
    carry()
    assert Attempt.objects.get().outcome == "transient"


def test_lease_that_is_nearly_over_is_lengthened_before_the_attempt(server):
    promise()
    (delivery_id,) = leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=1)
    Delivery.objects.update(leased_until=database.now() + timedelta(seconds=1))
    server.rcpt = ["450 4.2.1 later"]
    one_round(delivery_id)
    left = Delivery.objects.get().leased_until - database.now()
    assert left > timedelta(seconds=30)


def test_code_at_the_cut_of_a_long_reply_is_redacted_too(server):
    issued = promise()
    code = live_code(issued.challenge_id)
    server.data = ["554 " + "x" * 195 + code]
    carry()
    assert code[:4] not in Attempt.objects.get().reply


def test_codes_leave_by_new_sessions_where_each_takes_but_two(settings):
    """As many as by Django's backend, which has a session for each."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_OPEN_CHALLENGES = 100
    tired = b"452 4.5.3 Too many messages in this session"
    ruled = Ruled(lambda turn: tired if turn.verb == "MAIL" and turn.begun % 3 == 0 else None)
    with scripted(ruled) as server:
        mailserver.route_to(settings, server.port)
        for number in range(8):
            promise(recipient=f"{number}@example.org")
        assert carry() == [None] * 8
    assert sorted(ruled.recipients) == [b"%d@example.org" % number for number in range(8)]
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted"}
    assert ruled.sessions == 4
