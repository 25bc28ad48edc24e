"""Whichever route a mail leaves by, and whoever's backend that is, the same people get it."""

import logging
from email.headerregistry import Address

import django
import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as Djangos
from django.db import transaction
from django.utils.log import AdminEmailHandler

from otpmail import routes
from otpmail.backends import smtp
from otpmail.backends.outbox import BACKEND
from otpmail.db import compat, database
from otpmail.delivery import leases
from otpmail.models import Attempt, Delivery, Queue
from tests import mailserver
from tests.corpus.values import Boxes
from tests.rounds import ME, one_round, tried
from tests.ruled import Ruled
from tests.scripted import scripted

pytestmark = pytest.mark.django_db(transaction=True)

OURS, DJANGOS = mailserver.OUR_BACKEND, mailserver.DJANGOS_BACKEND


@pytest.fixture
def servers():
    """The first takes no mail now; the second takes all, and tells which paths it heard."""
    paths = []

    def hear(turn):
        if turn.verb in {"MAIL", "RCPT"}:
            paths.append(unquoted(turn.line.partition(b"<")[2].partition(b">")[0]))

    down = Ruled(lambda turn: b"451 4.3.0 later" if turn.verb == "MAIL" else None)
    with scripted(down) as first, scripted(Ruled(hear)) as second:
        yield first, second, paths
        smtp.close_pools()
        routes.close()


def lead(settings, **backends):
    """Let the outbox's routes lead to these servers by these backends."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_ROUTES = list(backends)
    mailserver.route_through(settings, BACKEND, routes=list(backends))
    for alias, (backend, server) in backends.items():
        options = {"host": server.host, "port": server.port, "timeout": 5}
        if backend == OURS:
            options["min_warm"] = 0
        settings.MAILERS |= {alias: {"BACKEND": backend, "OPTIONS": options}}


def send(message):
    compat.mailer("default").send_messages([message])
    for pk in leases.claim(ME, queue=Queue.MAIL, now=database.now(), limit=10):
        one_round(pk)


ADDRESSES = {
    "IDNA 2008": ("user@straße.example", b"user@xn--strae-oqa.example"),
    "final sigma": ("user@ς.example", b"user@xn--3xa.example"),
    "joiner": ("user@ශ්\u200dරී.example", b"user@xn--10cl1a0b660p.example"),
    "IDNA 2003 too": ("user@bücher.example", b"user@xn--bcher-kva.example"),
    "dots in a row": ("a..b@docomo.ne.jp", b"a..b@docomo.ne.jp"),
    "dots at the ends": (".a.@ezweb.ne.jp", b".a.@ezweb.ne.jp"),
    "name with a dot": ("Bob Inc. <bob@example.org>", b"bob@example.org"),
    "name with a dot, and a domain": ("Ä. <b@straße.example>", b"b@xn--strae-oqa.example"),
    "member of an Enum": (Boxes.BOB, b"bob@example.org"),
}


@pytest.mark.parametrize("place", ["to", "cc", "bcc", "from_email"])
@pytest.mark.parametrize(("address", "wired"), ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("backends", [(OURS, DJANGOS), (DJANGOS, OURS)], ids=["ours", "Django's"])
def test_next_route_mails_the_same_address(settings, servers, backends, address, wired, place):
    first, second, paths = servers
    lead(settings, a=(backends[0], first), b=(backends[1], second))
    address = address if place == "from_email" else [address]
    fields = {"from_email": "alice@example.org", "to": ["eve@example.org"], place: address}
    send(EmailMessage("s", "b", **fields))
    assert tried() == [("a", "transient"), ("b", "accepted")]
    assert paths[0 if place == "from_email" else -1] == wired


def unquoted(path):
    """Leave off the quotes that RFC 5321, 4.1.2, has such a local part in."""
    return path.replace(b'"', b"")


@pytest.mark.parametrize("field", ["subject", "body"])  # one of them is kept as it was made
def test_mail_that_is_kept_as_it_was_made_goes_to_the_same_address(settings, servers, field):
    _, second, paths = servers
    lead(settings, a=(DJANGOS, second))
    fields = {"subject": "s", "body": "b", "to": ["user@straße.example", "a..b@docomo.ne.jp"]}
    send(EmailMessage(**fields | {field: Boxes.BOB}))
    assert paths[1:] == [b"user@xn--strae-oqa.example", b"a..b@docomo.ne.jp"]


def test_log_mail_that_leaves_directly_goes_to_the_same_address(settings, servers):
    _, second, paths = servers
    lead(settings, a=(DJANGOS, second))
    settings.ADMINS, settings.SERVER_EMAIL = ["admin@straße.example"], "Example Inc. <a@b.org>"
    if django.VERSION < (6, 0):
        settings.ADMINS = [("Admin", "admin@straße.example")]
    with transaction.atomic():
        record = {"levelno": logging.ERROR, "levelname": "ERROR", "msg": "it broke"}
        AdminEmailHandler().handle(logging.makeLogRecord(record))
    assert paths == [b"a@b.org", b"admin@xn--strae-oqa.example"]


# What another backend refuses to write


class Picky(Djangos):
    """Takes no mail for Bob, in the words of Python's parser."""

    def _send(self, email_message):
        if "bob@example.org" in email_message.recipients():
            Address(addr_spec="no address")
        return super()._send(email_message)


PICKY = f"{Picky.__module__}.{Picky.__qualname__}"


def test_address_that_one_backend_refuses_is_given_to_the_next(settings, servers):
    _, second, paths = servers
    lead(settings, a=(PICKY, second), b=(OURS, second))
    send(EmailMessage("s", "b", "a@other.example", ["bob@example.org"]))
    assert tried() == [("a", "permanent"), ("b", "accepted")]
    assert routes.circuit_statuses()["a"].faults == 0
    assert paths == [b"a@other.example", b"bob@example.org"]


def test_address_that_no_route_takes_fails_its_mail_at_once(settings, servers):
    lead(settings, a=(PICKY, servers[1]))
    send(EmailMessage("s", "b", "a@other.example", ["bob@example.org"]))
    assert "InvalidHeaderDefect" in Attempt.objects.get().reply
    assert Delivery.objects.values_list("state", "reason").get() == ("failed", "refused")
