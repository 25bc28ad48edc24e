"""A path that was dropped silently is left for another session or route, and no mail is doubled.

Each reply may take a minute here: who waited for one would not be done before.
"""

import fcntl
import socket
import sys
import termios
import time

import pytest
from django.core.mail import EmailMessage

from otpmail import routes
from otpmail.backends import smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Blame, Kind
from otpmail.smtp import connecting
from otpmail.smtp.client import deliver
from otpmail.smtp.errors import SilentPathError
from otpmail.smtp.handshake import Security
from otpmail.smtp.mails import Sent
from tests import far, mailserver
from tests.mailings import a_mail, a_pool, a_session, at, in_seconds, send
from tests.missing import needs
from tests.rounds import carry, promise, tried
from tests.ruled import Ruled
from tests.scripted import OFFER_ALL, OFFER_NOTHING, OFFER_PIPELINING, Talk, scripted
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("far")

there = needs("a network namespace (root, iproute2)", far.available)

OFFERS = {"chunking": OFFER_ALL, "pipelining": OFFER_PIPELINING, "nothing": OFFER_NOTHING}

ways = pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)

LONG = 30
"""Seconds: much less than a reply may take, and much more than the slowest machine needs."""


@pytest.fixture
def host():
    connecting.memory.clear()
    with far.far_host() as host:
        yield host
    smtp.close_pools()
    connecting.memory.clear()


def in_time(began: float) -> bool:
    return time.monotonic() - began < LONG


def near_port(session) -> int:
    return session.channel._socket.getsockname()[1]


@ways
def test_idle_session_that_a_nat_forgot_is_left_for_a_new_one(host, offer):
    ruled = Ruled(offer=offer)
    with scripted(ruled, host.listen()) as server, a_pool(server) as pool:
        assert isinstance(deliver(pool, [a_mail(0)], deadline=in_seconds())[0], Sent)
        host.forget(near_port(pool._idle[0]))
        began = time.monotonic()
        (end,) = deliver(pool, [a_mail(1)], deadline=in_seconds())
        assert isinstance(end, Sent)
        assert in_time(began)
    assert [b"<0@" in ruled.mails[0][1], b"<1@" in ruled.mails[-1][1]] == [True, True]
    assert len(ruled.mails) == 2
    assert len(server.talks) == 2


def test_so_it_is_under_tls(host, localhost_certificate):
    def script(talk: Talk) -> None:
        talk.encrypt(localhost_certificate.server())
        ruled(talk)

    ruled = Ruled()
    with scripted(script, host.listen()) as server:
        context = localhost_certificate.client()
        context.check_hostname = False
        place = at(server, security=Security.TLS, context=context)
        with a_pool(server, server=place) as pool:
            deliver(pool, [a_mail(0)], deadline=in_seconds())
            host.forget(near_port(pool._idle[0]))
            (end,) = deliver(pool, [a_mail(1)], deadline=in_seconds())
    assert isinstance(end, Sent)
    assert len(ruled.mails) == 2


@ways
@pytest.mark.parametrize("count", [1, 8])
def test_mails_on_a_path_that_was_cut_are_known_not_to_be_taken(host, offer, count):
    ruled = Ruled(offer=offer)
    with scripted(ruled, host.listen()) as server:
        backend = EmailBackend(
            alias="default", host=server.host, port=server.port, timeout=60, min_warm=0
        )
        mails = [EmailMessage(str(n), "x", "a@example.org", ["b@example.org"]) for n in range(8)]
        assert backend.send_outcomes(mails[:1])[0].kind is Kind.ACCEPTED
        host.cut()
        began = time.monotonic()
        outcomes = backend.send_outcomes(mails[:count])
        assert in_time(began)
    assert {(outcome.kind, outcome.blame) for outcome in outcomes} == {
        (Kind.TRANSIENT, Blame.ROUTE)
    }
    assert len(ruled.mails) == 1


@pytest.mark.parametrize("offer", [OFFER_PIPELINING, OFFER_NOTHING])
def test_a_body_that_was_written_into_the_cut_is_known_not_to_be_taken(host, offer):
    asked = []

    def cut_before_the_body(_) -> bool:
        asked.append(True)
        if len(asked) == 2:
            host.cut()
        return True

    with scripted(Ruled(offer=offer), host.listen()) as server, a_session(server) as session:
        with pytest.raises(SilentPathError) as caught:
            send(session, a_mail(), deadline=in_seconds(), still_valid=cut_before_the_body)
        assert caught.value.untried
        assert not caught.value.in_doubt
        assert session.channel.closed


def test_a_body_of_which_octets_arrived_is_in_doubt(host):
    """The server's system took some of it; then the path is cut while the rest waits for room."""

    def script(talk: Talk) -> None:
        talk.greet()
        talk.hear(), talk.hear(), talk.hear()
        wait_until(lambda: is_full(talk.sock))
        host.cut()
        talk.wait_for_end()

    def is_full(sock) -> bool:
        """Tell whether nothing more has come for a while."""
        before = waiting(sock)
        time.sleep(0.3)
        return 0 < before == waiting(sock)

    listener = host.listen()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with scripted(script, listener) as server, a_session(server) as session:
        session.channel._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
        began = time.monotonic()
        with pytest.raises(SilentPathError) as caught:
            send(session, a_mail(body="x" * 60_000), deadline=in_seconds())
        assert in_time(began)
    assert caught.value.in_doubt


def waiting(sock) -> int:
    """Count the octets that came and were not read."""
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_server_that_is_slow_to_answer_is_no_silent_path(host):
    """Its system acknowledges what it has not read yet."""

    def script(talk: Talk) -> None:
        talk.greet()
        time.sleep(3)
        talk.take_chunked()
        talk.wait_for_end()

    with scripted(script, host.listen()) as server, a_session(server) as session:
        assert send(session, a_mail(), deadline=in_seconds())


def test_a_server_that_is_slow_to_read_is_no_silent_path(host):
    """A window that is shut is not a path that is."""

    def script(talk: Talk) -> None:
        talk.greet()
        talk.hear(), talk.hear()
        left = int(talk.hear().split()[1]) - len(talk._buffer)
        time.sleep(4)
        while left > 0:
            left -= len(talk.sock.recv(500_000))
        talk.say(b"250 ok\r\n250 ok\r\n250 taken\r\n")
        talk.wait_for_end()

    with scripted(script, host.listen()) as server, a_session(server) as session:
        assert send(session, a_mail(body="x" * 20_000_000), deadline=in_seconds())


@pytest.mark.django_db(transaction=True)
def test_code_leaves_by_another_route_when_the_path_of_the_first_is_cut(host, settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_HEDGE_AFTER = 60
    ruled = Ruled()
    with mailserver.running() as second, scripted(ruled, host.listen()) as server:
        mailserver.routes_to(settings, a=server.port, b=second.port)
        settings.MAILERS["a"]["OPTIONS"]["host"] = server.host
        promise()
        carry()
        assert len(ruled.mails) == 1
        host.cut()
        promise(recipient="carol@example.org")
        began = time.monotonic()
        carry()
        assert in_time(began)
        assert [mail["To"] for mail in second.mails] == ["carol@example.org"]
        routes.close()
    assert tried() == [("a", "accepted"), ("a", "transient"), ("b", "accepted")]
    assert len(ruled.mails) == 1
