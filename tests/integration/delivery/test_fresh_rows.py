"""The first round with a row of this process's own is given it, and nothing is read before it."""

import os
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from otpmail import challenges, engines, signals
from otpmail.backends import outbox as backend
from otpmail.db import database
from otpmail.delivery import courier, fresh_rows, leases
from otpmail.models import Challenge, Delivery, DeliveryState, Queue, Reason
from otpmail.testing import live_code
from tests import mailserver, rounds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _held(settings):
    """Enqueue with a holder, whose courier is the test."""
    settings.OTPMAIL_ENGINE = "tests.engines.Held"
    settings.OTPMAIL_COOL_DOWN_SECONDS = (0,)


def me():
    return engines.current().holder(Queue.CODE)


def only():
    return Delivery.objects.get().pk


def taken(pk):
    return [delivery.pk for delivery, _ in fresh_rows.take([pk], me())]


def send_code(**changes):
    return rounds.promise(context={"name": "Zoë"}, **changes)


def resend():
    issued = send_code()
    Delivery.objects.all().delete()
    challenges.resend("sign-in", issued.challenge_id, owner="alice")


def reissue(settings):
    settings.OTPMAIL_ROTATE = True
    resend()


def send_other_mail():
    news = EmailMessage("News", "Hello.\n", "shop@example.org", ["alice@example.org"])
    backend.EmailBackend(routes=["other"]).send_messages([news])


@pytest.mark.parametrize("act", [send_code, resend, "reissue", send_other_mail])
def test_it_is_given_what_it_would_have_read(act, settings):
    settings.MAILERS = {
        "default": {"BACKEND": backend.BACKEND, "OPTIONS": {"routes": ["other"]}},
        "other": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
    }
    reissue(settings) if act == "reissue" else act()
    before = database.now()
    ((given, at),) = fresh_rows.take([only()], me())
    ((read, _),) = leases.read([only()], me())
    assert abs(at - before) < timedelta(minutes=1)
    assert columns(given) == columns(read)
    for related in ("challenge", "stored"):
        assert (related in given._state.fields_cache) == (related in read._state.fields_cache)
        if related in read._state.fields_cache:
            assert columns(getattr(given, related)) == columns(getattr(read, related))


def columns(row):
    values = {name: value for name, value in vars(row).items() if name != "_state"}
    plain = {name: bytes(v) if isinstance(v, memoryview) else v for name, v in values.items()}
    return plain | {"_state": (row._state.db, row._state.adding)}


def test_it_reads_nothing_before_its_look(settings):
    send_code()
    with CaptureQueriesContext(connection) as sent:
        rounds.one_round(only(), me())
    assert rounds.states() == {"accepted"}
    first = sent[0]["sql"]
    assert first.startswith("SELECT")
    assert "nonce" not in first


def test_it_is_a_copy():
    """What a receiver or the answer has in hand is not what the courier writes on."""
    told = []

    def hear(*, delivery, **_: object):
        told.append(delivery)

    signals.delivery_enqueued.connect(hear)
    send_code()
    signals.delivery_enqueued.disconnect(hear)
    ((given, _),) = fresh_rows.take([only()], me())
    assert given == told[0]
    assert given is not told[0]
    assert given.challenge is not told[0].challenge


def test_it_is_given_once():
    send_code()
    assert taken(only()) == [only()]
    assert taken(only()) == []


def test_retry_reads(settings):
    mailserver.route_through(settings, "tests.backends.SendsNothing")
    settings.OTPMAIL_RETRY_SECONDS = (1, 1)
    send_code()
    assert rounds.one_round(only(), me()) is not None
    Delivery.objects.update(rounds=2)
    assert rounds.one_round(only(), me()) is None  # it has read that this was the last
    assert rounds.states() == {"failed"}


def test_what_is_rolled_back_is_not_given():
    with transaction.atomic():
        send_code()
        pk = only()
        transaction.set_rollback(True)
    assert taken(pk) == []


def test_it_is_not_given_before_the_commit():
    with transaction.atomic():
        send_code()
        assert taken(only()) == []
    assert taken(only()) == [only()]


def test_another_holder_is_given_nothing():
    send_code()
    assert fresh_rows.take([only()], rounds.ME) == []


def test_row_that_was_given_back_and_claimed_again_is_read():
    send_code()
    leases.release(me())
    claimed = leases.claim(me(), queue=Queue.CODE, now=database.now(), limit=1)
    assert taken(*claimed) == []


def test_half_a_lease_later_it_is_read(clock):
    send_code()
    clock.move(30)
    assert taken(only()) == []


def test_time_in_the_callers_transaction_counts(clock):
    with transaction.atomic():
        send_code()
        clock.move(29)
    assert taken(only())
    with transaction.atomic():
        issued = send_code()
        clock.move(30)
    assert taken(Delivery.objects.get(challenge=issued.challenge_id).pk) == []


def test_time_goes_on_from_what_the_database_told(clock):
    send_code()
    clock.move(20)
    ((given, at),) = fresh_rows.take([only()], me())
    assert timedelta(seconds=20) <= at - given.created_at < timedelta(seconds=80)


def test_so_many_are_kept_and_room_is_made_of_what_is_old(monkeypatch, clock):
    monkeypatch.setattr(fresh_rows, "MOST", 2)
    monkeypatch.setattr(fresh_rows, "_kept", {})  # of other tests

    def ids():
        issued = [send_code() for _ in range(3)]
        rows = Delivery.objects.filter(challenge__in=[one.challenge_id for one in issued])
        return [*rows.order_by("created_at").values_list("pk", flat=True)]

    ids()
    clock.move(30)
    assert [bool(taken(pk)) for pk in ids()] == [True, True, False]


def test_large_mail_is_read(settings, monkeypatch):
    monkeypatch.setattr(fresh_rows, "MOST_OCTETS", 100)
    settings.MAILERS = {
        "default": {"BACKEND": backend.BACKEND, "OPTIONS": {"routes": ["other"]}},
        "other": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
    }
    send_other_mail()
    assert taken(only()) == []
    rounds.one_round(only(), me())
    assert rounds.states() == {"accepted"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda code: challenges.cancel("sign-in", code.challenge_id, owner="alice"), "cancelled"),
        (lambda code: rounds.verify(code, live_code(code.challenge_id)), "confirmed"),
    ],
)
def test_what_changed_meanwhile_is_seen_before_the_envelope(change, reason):
    issued = send_code()
    change(issued)
    rounds.one_round(only(), me())
    assert mail.outbox == []
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason) == (DeliveryState.DROPPED, Reason(reason))


def test_mail_whose_row_is_gone_is_not_sent():
    send_code()
    pk = only()
    Challenge.objects.all().delete()
    assert courier.run([pk], me()).waits == {pk: None}
    assert mail.outbox == []


def test_mail_that_another_holds_is_not_sent():
    send_code()
    Delivery.objects.update(leased_by=rounds.ME)
    assert rounds.one_round(only(), me()) is None
    assert mail.outbox == []
    assert rounds.states() == {"queued"}


def test_child_is_given_nothing():
    send_code()
    pk, holder = only(), me()
    child = os.fork()
    if not child:
        os._exit(len(fresh_rows.take([pk], holder)))
    assert os.waitpid(child, 0)[1] == 0
    assert taken(pk) == [pk]
