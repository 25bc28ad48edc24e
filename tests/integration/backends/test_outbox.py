"""Any Django mail through the outbox, with a real mail server at the other end."""

import logging
from datetime import timedelta

import django
import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.db import DatabaseError, connection, transaction
from django.utils.log import AdminEmailHandler

from otpmail import engines, routes
from otpmail.backends.outbox import BACKEND, EmailBackend
from otpmail.conf import Settings
from otpmail.db import compat, database
from otpmail.delivery import leases
from otpmail.exceptions import UnstorableMailError
from otpmail.models import Attempt, Delivery, Queue, StoredMessage
from tests import mailserver
from tests.corpus.mails import Heading
from tests.corpus.mails import mail as mail_of
from tests.rounds import one_round
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ME = "elsewhere/1/1/me"
SECRET = "the secret of this mail"


def through_outbox(settings, port):
    mailserver.route_through(settings, BACKEND, routes=["smtp"])
    options = {"host": "127.0.0.1", "port": port, "timeout": 5}
    smtp = {"BACKEND": mailserver.OUR_BACKEND, "OPTIONS": options}
    settings.MAILERS = settings.MAILERS | {"smtp": smtp}
    settings.OTPMAIL_ROUTES = ["smtp"]


@pytest.fixture
def server(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    with mailserver.running() as server:
        through_outbox(settings, server.port)
        yield server
        routes.close()


def send(subject="Hello", body=SECRET, to="bob@example.org"):
    return mail.send_mail(subject, body, "alice@example.org", [to])


def claim():
    return leases.claim(ME, queue=Queue.MAIL, now=database.now(), limit=10)


def carry():
    """Claim what is free and do one round with each."""
    return [one_round(pk) for pk in claim()]


def fate():
    return Delivery.objects.values_list("state", "reason").get()


def test_mail_is_promised_and_then_sent(server):
    assert send() == 1
    assert server.mails == []
    assert carry() == [None]
    (received,) = server.wait_for(1)
    assert (received["Subject"], received["To"]) == ("Hello", "bob@example.org")
    assert mailserver.text_of(received).strip() == SECRET
    assert fate() == ("accepted", "")


@pytest.mark.parametrize("path", ["immediate.ImmediateEngine", "threads.ThreadsEngine"])
def test_committed_mail_leaves_by_itself(server, settings, path):
    settings.OTPMAIL_ENGINE = f"otpmail.engines.{path}"
    send()
    server.wait_for(1)
    wait_until(lambda: fate() == ("accepted", ""))


def test_rolled_back_mail_was_never_promised(server):
    with pytest.raises(RuntimeError), transaction.atomic():
        send()
        raise RuntimeError
    assert not Delivery.objects.exists()


def test_nothing_of_the_mail_can_be_read_in_the_database(server):
    send(subject="a subject")
    delivery, stored = Delivery.objects.get(), StoredMessage.objects.get()
    columns = repr([vars(delivery), {**vars(stored), "content": bytes(stored.content)}])
    assert stored.to == "b***@example.org"
    for word in (SECRET, "a subject", "bob@", "alice@"):
        assert word not in columns


@pytest.mark.parametrize(
    ("reply", "end"),
    [(mailserver.OK, ("accepted", "")), ("554 5.6.0 no", ("failed", "refused"))],
)
def test_mail_is_erased_when_its_delivery_is_settled(server, reply, end):
    server.data = [reply]
    send()
    carry()
    assert fate() == end
    assert not StoredMessage.objects.exists()


def test_mail_past_its_life_is_dropped_and_erased(server, settings):
    settings.OTPMAIL_MAIL_LIFE_SECONDS = 0
    send()
    carry()
    assert fate() == ("dropped", "expired")
    assert not StoredMessage.objects.exists()
    assert server.mails == []


def test_mail_whose_key_was_revoked_is_dropped(server, settings):
    send()
    settings.OTPMAIL_REVOKED_KEYS = [StoredMessage.objects.get().key_id]
    settings.OTPMAIL_KEYS = {"new": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    carry()
    assert fate() == ("dropped", "unreadable")


def test_every_attempt_carries_the_same_message_id_and_date(server, settings):
    settings.OTPMAIL_MAIL_RETRY_SECONDS = (0,)
    send()
    (delivery_id,) = claim()
    taken = []
    server.handle_DATA = keeping(server.handle_DATA, taken)
    server.data = ["451 4.3.0 later", mailserver.OK]
    assert one_round(delivery_id) is not None
    assert one_round(delivery_id) is None
    assert len(taken) == 2
    assert taken[0] == taken[1]
    assert taken[0]["Message-ID"] == Delivery.objects.get().message_id


def keeping(handle, taken):
    async def handle_data(server, session, envelope):
        made = mailserver.message_from_bytes(envelope.content)
        taken.append({name: made[name] for name in ("Message-ID", "Date")})
        return await handle(server, session, envelope)

    return handle_data


def test_message_id_of_the_caller_is_kept(server):
    headers = {"message-id": "<own@example.org>", "X-Own": "yes"}
    EmailMessage("s", "b", "a@example.org", ["b@example.org"], headers=headers).send()
    carry()
    (received,) = server.wait_for(1)
    assert received.get_all("Message-ID") == ["<own@example.org>"]
    assert received["X-Own"] == "yes"
    assert Delivery.objects.get().message_id == "<own@example.org>"


def test_all_parts_of_a_mail_arrive(server):
    message = EmailMultiAlternatives(
        "Grüße", "text\n", "a@example.org", ["b@example.org"], bcc=["c@example.org"]
    )
    message.attach_alternative("<p>html</p>", "text/html")
    message.attach("a.bin", b"\x00\xff", "application/octet-stream")
    message.send()
    carry()
    (received,) = server.wait_for(1)
    assert received["Subject"] == "Grüße"
    assert received["Bcc"] is None
    assert received.get_body(("html",)).get_content().strip() == "<p>html</p>"
    (attachment,) = received.iter_attachments()
    assert attachment.get_content() == b"\x00\xff"


def test_long_wait_is_waited_in_the_row_and_not_in_memory(server, settings):
    settings.OTPMAIL_MAIL_RETRY_SECONDS = (3600,)
    server.data = ["451 4.3.0 later"]
    send()
    assert carry() == [None]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by) == ("queued", "")
    assert delivery.due_at - database.now() > timedelta(minutes=50)
    assert StoredMessage.objects.exists()


def test_mail_is_retried_for_most_of_its_day():
    waits = Settings.MAIL_RETRY_SECONDS
    assert list(waits) == sorted(waits)
    assert 0.75 <= sum(waits) / Settings.MAIL_LIFE_SECONDS <= 0.9


def test_outbox_never_leads_into_itself(settings):
    """A system check says so; and a process that was started without it refuses to."""
    mailserver.route_through(settings, BACKEND, routes=["default"])
    with pytest.raises(ImproperlyConfigured, match="leads into the outbox again"):
        send()


# As with any Django backend


def test_mass_mail_is_promised_in_one_transaction(server, django_assert_max_num_queries):
    mails = [("s", "b", "a@example.org", [f"{n}@example.org"]) for n in range(50)]
    with django_assert_max_num_queries(12):
        assert mail.send_mass_mail(mails) == 50
    assert Delivery.objects.filter(queue=Queue.MAIL).count() == 50


def test_mail_without_recipients_is_not_counted(server):
    nobody = EmailMessage("s", "b", "a@example.org", [])
    somebody = EmailMessage("s", "b", "a@example.org", ["b@example.org"])
    assert compat.mailer("default").send_messages([nobody, somebody]) == 1
    assert compat.mailer("default").send_messages([nobody]) == 0


def test_admins_are_mailed(server, settings):
    settings.ADMINS = ["admin@example.org"]
    if django.VERSION < (6, 0):
        settings.ADMINS = [("Admin", "admin@example.org")]
    record = logging.makeLogRecord({"levelname": "ERROR", "msg": "it broke"})
    AdminEmailHandler().emit(record)
    carry()
    (received,) = server.wait_for(1)
    assert received["Subject"].endswith("ERROR: it broke")


@pytest.mark.parametrize(
    "message",
    [
        EmailMessage("a\nBcc: x@example.org", "b", "a@example.org", ["b@example.org"]),
        EmailMessage("s", "b", "a@example.org", ["no address"]),
        EmailMessage("s", "b", "a@example.org", ["b@example.org\nc@example.org"]),
        EmailMessage("s", "b", "a@example.org", ["b@example.org"], headers={"X": "a\nb: c"}),
    ],
    ids=["subject", "address", "recipient", "header"],
)
def test_mail_that_no_backend_could_send_raises_in_the_caller(server, message):
    good = EmailMessage("s", "b", "a@example.org", ["b@example.org"])
    with pytest.raises(ValueError):  # noqa: PT011 - each is of a kind of its own
        compat.mailer("default").send_messages([good, message])
    assert not Delivery.objects.exists()


def test_message_that_a_class_makes_itself_arrives_as_it_made_it(server):
    mail_of(Heading).send()
    carry()
    (received,) = server.wait_for(1)
    assert received["X-Own"] == "of the class"


def test_message_that_a_class_makes_itself_is_not_given_to_an_api_that_would_not_ask(
    server, settings
):
    """Its attributes may be what it signs or encrypts."""
    settings.MAILERS |= {"api": {"BACKEND": "anymail.backends.postmark.EmailBackend"}}
    backend = EmailBackend(routes=["smtp", "api"])
    with pytest.raises(UnstorableMailError, match="the route 'api' reads attributes"):
        backend.send_messages([mail_of(Heading)])
    assert backend.send_messages([mail_of(EmailMultiAlternatives)]) == 1


@pytest.mark.parametrize("length", [256, 5000])
def test_long_message_id_is_kept_whole(server, length):
    own = f"<{'x' * length}@example.org>"
    mail_of(EmailMessage, headers={"Message-ID": own}).send()
    assert Delivery.objects.get().message_id == own


def test_octets_of_a_row_are_attached_as_they_come_from_the_database(server):
    """A BinaryField's value is bytes here and a memoryview there."""
    send()
    octets = StoredMessage.objects.values_list("content", flat=True).get()
    mail_of(EmailMessage, attachments=[("a.bin", octets, "application/octet-stream")]).send()
    carry()
    first, second = server.wait_for(2)
    with_it = first if first.is_multipart() else second
    assert next(with_it.iter_attachments()).get_content() == bytes(octets)


def test_mail_that_cannot_be_stored_raises_in_the_caller(server):
    message = EmailMessage("s", "b", "a@example.org", ["b@example.org"])
    message.metadata = {"a": object()}
    with pytest.raises(UnstorableMailError):
        message.send()


@pytest.fixture
def no_outbox():
    """The outbox's table is away."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(StoredMessage, "otpmail_storedmessage", "away")
    yield
    with connection.schema_editor() as editor:
        editor.alter_db_table(StoredMessage, "away", "otpmail_storedmessage")


def test_fault_of_the_database_is_raised(server, no_outbox):
    with pytest.raises(DatabaseError):
        send()


def test_silent_fault_of_the_database_leaves_the_callers_transaction_whole(server, no_outbox):
    silent = EmailBackend(routes=["smtp"], fail_silently=True)
    with transaction.atomic():
        message = EmailMessage("s", "b", "a@example.org", ["b@example.org"])
        assert silent.send_messages([message]) == 0
        assert not Delivery.objects.exists()


# Several recipients


def test_mail_that_one_recipient_took_is_accepted_and_tells_who_was_refused(server):
    server.rcpt = ["250 2.1.5 Ok", "550 5.1.1 <c@example.org>: no such user"]
    EmailMessage("s", "b", "a@example.org", ["b@example.org", "c@example.org"]).send()
    assert carry() == [None]
    assert fate() == ("accepted", "")
    reply = Attempt.objects.get().reply
    assert "1 of the recipients refused" in reply
    assert "c@example.org" not in reply


# Logs


def test_log_tells_who_by_a_mask_and_how_many(server, caplog):
    caplog.set_level("DEBUG", logger="otpmail")
    EmailMessage("s", SECRET, "a@example.org", ["bob@example.org", "c@example.org"]).send()
    carry()
    assert "Email accepted" in caplog.text
    assert "to=b***@example.org recipients=2" in caplog.text
    assert SECRET not in caplog.text
    assert "bob@" not in caplog.text


def test_reply_that_quotes_what_may_be_a_code_is_redacted(server):
    server.data = ["554 5.7.1 spam: c6k0ld-77ab is in it, queue 4F2A"]
    send(body="https://example.org/reset/c6k0ld-77ab/")
    carry()
    assert Attempt.objects.get().reply == "5.7.1 spam: *********** is in it, queue 4F2A"


# A queue of two queues


def test_more_than_a_process_keeps_in_memory_is_left_to_any_process(server, settings):
    settings.OTPMAIL_QUEUE_SIZE = 3
    settings.OTPMAIL_SWEEP_SECONDS = 0.05
    settings.OTPMAIL_LEASE_SECONDS = 600
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    engines.current().start()
    mail.send_mass_mail(
        [("s", "b", "a@example.org", [f"{number}@example.org"]) for number in range(20)]
    )
    server.wait_for(20)
    wait_until(lambda: not Delivery.objects.exclude(state="accepted").exists())
    assert len(server.mails) == 20
