"""A log handler that mails, with the outbox behind it: nothing feeds itself, and nothing raises."""

import logging
import queue
import re
import threading
from logging.handlers import MemoryHandler, QueueHandler, QueueListener

import django
import pytest
from django.core import mail
from django.db import DatabaseError, connection, connections, transaction
from django.utils.log import AdminEmailHandler

from otpmail import routes
from otpmail.db import database
from otpmail.delivery import leases
from otpmail.models import Delivery, Queue, StoredMessage
from otpmail.runtime import logmails
from tests import mailserver
from tests.integration.backends import test_outbox
from tests.mailserver import free_port
from tests.rounds import one_round
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ME = "elsewhere/1/1/me"
ROUNDS = 6
"""As many as the storm needed to become 30 mails."""

log = logging.getLogger("a project")


@pytest.fixture
def server(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.ADMINS = ["admin@example.org"]
    if django.VERSION < (6, 0):
        settings.ADMINS = [("Admin", "admin@example.org")]
    with mailserver.running() as server:
        through_outbox(settings, server.port)
        yield server
        routes.close()


@pytest.fixture(params=[logging.WARNING, logging.ERROR], ids=logging.getLevelName)
def handler(request):
    yield from at_root(AdminEmailHandler(), request.param)


@pytest.fixture
def strict():
    yield from at_root(AdminEmailHandler(), logging.ERROR)


def through_outbox(settings, port):
    test_outbox.through_outbox(settings, port)
    settings.MAILERS["smtp"]["OPTIONS"]["min_warm"] = 0  # a keeper's line is of no mail


def at_root(handler, level):
    handler.setLevel(level)
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


class Closing(AdminEmailHandler):
    """In a thread of its own, which ends with the test."""

    def emit(self, record):
        try:
            super().emit(record)
        finally:
            connections.close_all()


def carry(rounds=ROUNDS):
    """Do what couriers do, so many times."""
    for _ in range(rounds):
        Delivery.objects.update(due_at=database.now())
        for pk in leases.claim(ME, queue=Queue.MAIL, now=database.now(), limit=100):
            one_round(pk)
        leases.release(ME)


FATES = {
    "refused": lambda server, settings: setattr(server, "rcpt", ["550 5.1.1 no such user"]),
    "refused for now": lambda server, settings: setattr(server, "rcpt", ["450 4.2.1 busy"]),
    "spam": lambda server, settings: setattr(server, "data", ["554 5.7.1 spam"]),
    "taken": lambda server, settings: None,
    "nobody there": lambda server, settings: through_outbox(settings, free_port()),
}


@pytest.mark.parametrize("fate", FATES)
def test_one_error_is_one_mail_whatever_becomes_of_it(server, settings, handler, fate):
    settings.OTPMAIL_MAIL_RETRY_SECONDS = (0, 0)
    FATES[fate](server, settings)
    log.error("it broke")
    carry()
    assert Delivery.objects.count() == 1


def test_storm_of_one_error_is_one_mail(server, settings, strict):
    """With couriers of its own. It was 179 mails in 15 seconds."""
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    settings.OTPMAIL_SWEEP_SECONDS = 0.05
    server.rcpt = ["550 5.1.1 no such user"]
    log.error("it broke")
    wait_until(lambda: Delivery.objects.filter(state="failed").exists())
    log.error("it broke again")
    wait_until(lambda: Delivery.objects.filter(state="failed").count() == 2)
    assert Delivery.objects.count() == 2


def test_fate_of_the_logs_mail_is_told_in_the_log_below_error(server, settings, strict, caplog):
    server.rcpt = ["450 4.2.1 busy"]
    settings.OTPMAIL_MAIL_RETRY_SECONDS = ()
    log.error("it broke")
    carry()
    (failed,) = [record for record in caplog.records if "reason=gave-up" in record.getMessage()]
    assert failed.levelno == logging.WARNING


def test_other_mail_that_was_given_up_is_told_to_admins(server, settings, strict):
    settings.OTPMAIL_MAIL_RETRY_SECONDS = ()
    server.rcpt = ["450 4.2.1 busy", mailserver.OK]
    mail.send_mail("s", "b", "alice@example.org", ["bob@example.org"])
    carry()
    (received,) = server.wait_for(1)
    assert "Email failed reason=gave-up" in received["Subject"]
    assert Delivery.objects.count() == 2


def test_queue_before_the_handler_keeps_the_mark(server, settings):
    settings.OTPMAIL_MAIL_RETRY_SECONDS = (0, 0)
    server.rcpt = ["550 5.1.1 no such user"]
    records = queue.SimpleQueue()
    listener = QueueListener(records, Closing())
    for _ in at_root(QueueHandler(records), logging.WARNING):
        listener.start()
        log.error("it broke")
        wait_until(lambda: Delivery.objects.count() == 1)
        carry()
        listener.stop()
    assert Delivery.objects.count() == 1


class HandingOn(logging.Handler):
    """As one that holds back what comes too often."""

    def __init__(self, to, make=lambda record: record):
        super().__init__()
        self.to, self.make = to, make

    def emit(self, record):
        self.to.handle(self.make(record))


class OwnHandle(AdminEmailHandler):
    """Whose ``handle`` takes no lock."""

    def handle(self, record):
        self.emit(record)
        return record


def own(record):
    return logging.LogRecord("a digest", record.levelno, "", 0, record.getMessage(), (), None)


BEHIND = {
    "itself": AdminEmailHandler,
    "a buffer": lambda: MemoryHandler(10, logging.WARNING, AdminEmailHandler()),
    "a full buffer": lambda: MemoryHandler(1, logging.CRITICAL, AdminEmailHandler()),
    "one": lambda: HandingOn(AdminEmailHandler()),
    "one that makes a record": lambda: HandingOn(AdminEmailHandler(), own),
    "three": lambda: HandingOn(MemoryHandler(1, target=HandingOn(AdminEmailHandler()))),
    "a handle of its own": OwnHandle,
    "one, with a handle of its own": lambda: HandingOn(OwnHandle()),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_error_is_one_mail_behind_whatever_hands_it_on(server, settings, behind):
    """The fate of the mail is handed on, too, and makes none."""
    settings.OTPMAIL_MAIL_RETRY_SECONDS = (0, 0)
    server.rcpt = ["550 5.1.1 no such user"]
    for _ in at_root(BEHIND[behind](), logging.WARNING):
        log.error("it broke")
        carry()
        assert Delivery.objects.count() == 1


@pytest.mark.parametrize("behind", BEHIND)
def test_error_mail_outlives_a_transaction_behind_whatever_hands_it_on(server, behind):
    for _ in at_root(BEHIND[behind](), logging.ERROR):
        with transaction.atomic():
            log.error("it broke")
            transaction.set_rollback(True)
        server.wait_for(1)


def test_buffer_that_the_logs_own_lines_fill_loses_nothing(server):
    buffer = MemoryHandler(2, logging.CRITICAL, AdminEmailHandler())
    for _ in at_root(buffer, logging.INFO):
        log.error("it broke")
        logging.getLogger("otpmail").warning("of its mail", extra=logmails.extra(is_log_mail=True))
        assert Delivery.objects.count() == 1


def test_what_a_handler_logs_makes_no_mail_and_the_log_says_so(server, caplog):
    """What it logs is handled by the same handler, and would be without end."""

    class Noisy(AdminEmailHandler):
        def emit(self, record):
            if record.name == log.name:
                logging.getLogger("noise").error("a mail is made")
            super().emit(record)

    for _ in at_root(Noisy(), logging.WARNING):
        log.error("it broke")
    assert Delivery.objects.count() == 1
    (lost,) = [record for record in caplog.records if "is lost" in record.getMessage()]
    assert lost.levelno == logging.WARNING
    assert getattr(lost, logmails.MARK)


# Without a database


@pytest.fixture
def no_outbox():
    """The outbox's table is away."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(StoredMessage, "otpmail_storedmessage", "away")
    yield
    with connection.schema_editor() as editor:
        editor.alter_db_table(StoredMessage, "away", "otpmail_storedmessage")


def test_error_mail_leaves_directly_when_the_database_takes_nothing(server, strict, no_outbox):
    log.error("it broke")
    (received,) = server.wait_for(1)
    assert received["Subject"].endswith("ERROR: it broke")


def test_error_mail_leaves_from_inside_a_broken_transaction(server, strict):
    with pytest.raises(DatabaseError), transaction.atomic():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT nothing FROM nowhere")
        except DatabaseError:
            log.exception("it broke")
            raise
    (received,) = server.wait_for(1)
    assert received["Subject"].endswith("ERROR: it broke")


def test_error_mail_leaves_from_a_transaction_that_may_only_be_rolled_back(server, strict):
    with transaction.atomic():
        transaction.set_rollback(True)
        log.error("it broke")
    server.wait_for(1)
    assert not Delivery.objects.exists()


def test_error_mail_outlives_the_transaction_that_it_tells_of(server, strict):
    with pytest.raises(RuntimeError), transaction.atomic():
        log.error("it broke")
        raise RuntimeError
    server.wait_for(1)


@pytest.mark.parametrize("admin", ["admin@example.org", "no address"])
def test_nothing_that_logs_raises_where_no_way_is_left(server, settings, strict, caplog, admin):
    through_outbox(settings, free_port())
    settings.ADMINS = [admin] if django.VERSION >= (6, 0) else [("Admin", admin)]
    with transaction.atomic():
        log.error("it broke")
    assert "Email of the log is lost" in caplog.text
    if "@" in admin:
        assert re.search(r"is lost: route=smtp server=127\.0\.0\.1:\d+ .*EMAIL_PORT", caplog.text)
    assert not Delivery.objects.exists()


def test_error_in_another_thread_is_nobodys_business(server, strict):
    """What is handled elsewhere in the process does not keep a mail from being made here."""
    inside, may_end = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record):
            inside.set()
            may_end.wait(60)

    other = logging.getLogger("another")
    other.propagate = False
    other.addHandler(Slow())
    thread = threading.Thread(target=other.error, args=("slow",))
    thread.start()
    inside.wait(60)
    mail.send_mail("s", "b", "alice@example.org", ["bob@example.org"])
    may_end.set()
    thread.join()
    assert not Delivery.objects.get().is_log_mail
