"""Whatever mail Django is given leaves as Django's own backend would have sent it.

Each mail of `tests.corpus` goes through Django's backend, through ours, and through the outbox with
a courier, to servers that offer more and less. What differs on purpose is in
docs/explanation/smtp.md.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from functools import cache
from itertools import count
from typing import Any

import django
import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as Djangos

from otpmail import routes
from otpmail.backends import smtp
from otpmail.backends.outbox import BACKEND
from otpmail.backends.smtp import EmailBackend as Ours
from otpmail.db import compat, database
from otpmail.delivery import leases
from otpmail.models import Queue
from tests import corpus, mailserver
from tests.rounds import ME, one_round
from tests.scripted import Talk, scripted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

OFFERS = {
    "all": (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"CHUNKING", b"SIZE 100000000"),
    "8BITMIME": (b"8BITMIME",),
    "CHUNKING": (b"PIPELINING", b"CHUNKING"),
    "nothing": (),
}


@cache
def mails() -> dict[str, corpus.Make]:
    """Make them once, and not before a test asks."""
    return dict(corpus.by_hand()) | dict(corpus.drawn(200))


STORED = [OFFERS["all"], OFFERS["nothing"]]

DIFFERENT = {
    "address: local part in utf-8",  # by SMTPUTF8 or not at all; Django refuses or writes another
    "header: name in two lines",  # a header of its own, which Django writes and we refuse
}

WITHOUT_8BITMIME: set[str] = set()

if django.VERSION < (6, 0):
    DIFFERENT |= {"address: no address", "header: Addresses"}
    """Django writes the first as it is, and we refuse it; with the second it is the other way."""
    WITHOUT_8BITMIME |= {"part: MIMEBase with a raw name"}
    """Eight bits in a header cannot be re-encoded; later Djangos do not write them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a server was told of a mail."""

    sender: bytes
    recipients: tuple[bytes, ...]
    content: bytes = field(repr=False)


class Server:
    """Offers some, takes all, and keeps it."""

    def __init__(self, offers: tuple[bytes, ...]) -> None:
        self.offers = offers
        self.taken: list[Taken] = []
        self.options: dict[str, Any] = {"timeout": 60}

    def __call__(self, talk: Talk) -> None:
        lines = (b"scripted", *self.offers)
        talk.greet(b"".join(b"250-%b\r\n" % line for line in lines) + b"250 HELP\r\n")
        paths: list[bytes] = []
        while (line := talk.hear()) != b"QUIT":
            if line.upper().startswith((b"MAIL FROM:", b"RCPT TO:")):
                paths.append(line.partition(b":")[2].rpartition(b">")[0] + b">")
            elif line.upper() == b"DATA":
                talk.say(b"354 go on\r\n")
                body = talk.hear_body().removesuffix(b".\r\n")
                paths = self._take(paths, re.sub(rb"(?m)^\.\.", b".", body))
            elif line.startswith(b"BDAT"):
                paths = self._take(paths, talk.hear_bytes(int(line.split()[1])))
            talk.say(b"250 2.0.0 ok\r\n")

    def _take(self, paths: list[bytes], content: bytes) -> list[bytes]:
        self.taken.append(Taken(paths[0], tuple(paths[1:]), content))
        return []


@pytest.fixture(params=OFFERS)
def server(request: Any, caplog: Any) -> Iterator[Server]:
    caplog.set_level("WARNING", logger="otpmail")  # it tells of each mail
    server = Server(OFFERS[request.param])
    with scripted(server) as running:
        server.options |= {"host": running.host, "port": running.port}
        yield server
        smtp.close_pools()
        routes.close()


type Way = Callable[[EmailMessage], object]


def through(backend: BaseEmailBackend) -> Way:
    return lambda message: backend.send_messages([message])


def through_outbox(server: Server, settings: Any) -> Way:
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_ROUTES = ["smtp"]
    mailserver.route_through(settings, BACKEND, routes=["smtp"])
    options = server.options | {"min_warm": 0}
    settings.MAILERS |= {"smtp": {"BACKEND": mailserver.OUR_BACKEND, "OPTIONS": options}}

    def send(message: EmailMessage) -> None:
        compat.mailer("default").send_messages([message])
        for pk in leases.claim(ME, queue=Queue.MAIL, now=database.now(), limit=10):
            one_round(pk)

    return send


def end(server: Server, way: Way, message: EmailMessage) -> Taken | type[Exception] | None:
    """Send a mail, and tell what came of it: what the server took, or what was raised."""
    before = len(server.taken)
    own = {str(name).lower() for name in message.extra_headers}
    try:
        way(message)
    except Exception as error:  # noqa: BLE001 - it is compared
        return type(error)
    taken = server.taken[before:]
    assert len(taken) <= 1
    return comparable(taken[0], own) if taken else None


BOUNDARY = re.compile(rb"={15}\d+==")


def comparable(taken: Taken, own: set[str]) -> Taken:
    """Make equal what is drawn anew each time: boundaries, the time, a Message-ID."""
    numbers, seen = count(), {}
    content = BOUNDARY.sub(
        lambda found: seen.setdefault(found[0], b"%037d" % next(numbers)), taken.content
    )
    for name in {"date", "message-id"} - own:
        drawn = re.compile(
            rb"^(%b): .*(\r\n[ \t].*)*" % name.encode(), re.IGNORECASE | re.MULTILINE
        )
        content = drawn.sub(rb"\1:", content, count=1)
    return replace(taken, content=content)


def leaves(content: bytes) -> list[tuple[list[tuple[str, str]], object]]:
    """Decode a mail: each leaf's headers but its encoding, and its octets."""
    return [
        (
            [item for item in part.items() if item[0].lower() != "content-transfer-encoding"],
            None if part.is_multipart() else part.get_payload(decode=True),
        )
        for part in message_from_bytes(content).walk()
    ]


def is_alike(server: Server, by_django: object, by_us: object) -> bool:
    if isinstance(by_django, Taken):  # it asks twice for who is named twice
        once = tuple(dict.fromkeys(by_django.recipients))
        by_django = replace(by_django, recipients=once)
    both = isinstance(by_django, Taken) and isinstance(by_us, Taken)
    if not both or by_django.content.isascii() or b"8BITMIME" in server.offers:
        return by_django == by_us
    # Django writes eight bits to a server that did not offer to take them.
    return (
        by_us.content.isascii()
        and replace(by_django, content=b"") == replace(by_us, content=b"")
        and leaves(by_django.content) == leaves(by_us.content)
    )


def test_every_mail_leaves_as_django_would_have_sent_it(server, settings):
    """Through the outbox half of them to a server that offers all, and half to one of nothing."""
    ours, stored = through(Ours(alias="default", min_warm=0, **server.options)), None
    if server.offers in STORED:
        stored = through_outbox(server, settings)
    sent, different = 0, {}
    with Djangos(alias="default", **server.options) as djangos:
        for number, (name, make) in enumerate(mails().items()):
            by_django = end(server, through(djangos), make())
            by_us = [end(server, ours, make())]
            if stored and number % 2 == STORED.index(server.offers):
                by_us.append(end(server, stored, make()))
            sent += isinstance(by_django, Taken)
            if not all(is_alike(server, by_django, one) for one in by_us):
                different[name] = (by_django, *by_us)
    expected = DIFFERENT | (set() if b"8BITMIME" in server.offers else WITHOUT_8BITMIME)
    assert different.keys() == expected, different
    assert sent >= 400
