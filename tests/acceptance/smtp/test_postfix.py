"""The wire against a real Postfix."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy

import pytest
from django.core.mail import EmailMessage

from otpmail.backends import smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Blame, Kind
from otpmail.smtp.auth import Credentials
from otpmail.smtp.client import deliver
from otpmail.smtp.errors import RecipientsRefusedError, RefusedError, TooLargeError
from otpmail.smtp.handshake import Security, open_session
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.modes import Mode, memory
from tests.acceptance.smtp import postfix
from tests.mailings import a_mail, a_pool, a_session, at, eventually, in_seconds, send
from tests.missing import missing
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("postfix")

WAYS = {"full": Mode.CHUNKED, "pipelining": Mode.PIPELINED, "plain": Mode.STEPWISE}


@pytest.fixture(scope="module")
def server(localhost_certificate):
    if not postfix.available():
        missing("root, or one of Debian's postfix, sasl2-bin, libsasl2-modules{,-db}")
    with postfix.running(localhost_certificate.cert, localhost_certificate.key) as running:
        yield running


@pytest.fixture
def token() -> str:
    return uuid.uuid4().hex


@pytest.mark.parametrize("way", WAYS)
def test_a_mail_arrives_whole_the_best_way_the_server_allows(server, token, way):
    mail = a_mail(body=f"{token}\n.\n..dots\n.")
    with a_session(server.at(way)) as session:
        assert session.mode is WAYS[way]
        end = send(session, mail, deadline=in_seconds())
    assert end.reply.enhanced == (2, 0, 0)
    (arrived,) = server.arrived(token)
    assert f"{token}\n.\n..dots\n.\n".encode() in arrived


@pytest.mark.parametrize("way", WAYS)
def test_eight_bits_arrive(server, token, way):
    """The plain port does not offer 8BITMIME: there the mail is re-encoded."""
    content = f"Content-Type: text/plain; charset=utf-8\n\n{token} café\n"
    mail = Mail(
        sender="alice@example.org", recipients=("bob@example.org",), content=content.encode()
    )
    with a_session(server.at(way)) as session:
        assert send(session, mail, deadline=in_seconds())
    (arrived,) = server.arrived(token)
    assert (b"caf=C3=A9" if way == "plain" else "café".encode()) in arrived


@pytest.mark.parametrize("way", WAYS)
def test_a_document_beside_eight_bits_arrives_octet_for_octet(server, token, way):
    """Without 8BITMIME the text is re-encoded, and the document in base64 is left alone."""
    octets = bytes(range(256)) * 40 + b"\r\n\n\r."
    message = EmailMessage(token, f"{token} café\n", "alice@example.org", ["bob@example.org"])
    message.attach("a.pdf", octets, "application/pdf")
    place = server.at(way)
    backend = EmailBackend(alias="postfix", host=place.host, port=place.port, min_warm=0)
    assert backend.send_messages([message]) == 1
    smtp.close_pools()
    (arrived,) = server.arrived(token)
    text, document = message_from_bytes(arrived, policy=policy.default).iter_parts()
    assert text.get_content() == f"{token} café\n"
    assert document.get_content() == octets


def test_an_address_that_is_not_ascii_arrives(server, token):
    mail = Mail(
        sender="jürgen@example.org",
        recipients=("bob@example.org",),
        content=token.encode(),
        utf8=True,
    )
    with a_session(server.at("full")) as session:
        assert send(session, mail, deadline=in_seconds())
    assert server.arrived(token)


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_recipient_leaves_the_session_of_use(server, token, way):
    with a_session(server.at(way)) as session:
        with pytest.raises(RecipientsRefusedError) as caught:
            send(session, a_mail(to=("nobody@example.org",)), deadline=in_seconds())
        assert caught.value.reply.code == 550
        assert caught.value.reply.enhanced == (5, 1, 1)
        assert send(session, a_mail(body=token), deadline=in_seconds())
        both = a_mail(body=token, to=("nobody@example.org", "bob@example.org"))
        assert list(send(session, both, deadline=in_seconds()).refused) == ["nobody@example.org"]
    assert len(server.arrived(token, 2)) == 2
    assert not memory.unkept("localhost", server.ports[way])


def test_a_mail_too_large_is_not_begun(server):
    with a_session(server.at("full")) as session:
        with pytest.raises(TooLargeError):
            send(session, a_mail(body="x" * 1_000_001), deadline=in_seconds())
        assert send(session, a_mail(), deadline=in_seconds())


@pytest.mark.parametrize("window", [1, 8])
def test_a_window_of_mails_arrives_and_each_has_its_own_end(server, token, window):
    mails = [
        a_mail(
            number, body=token, to=("nobody@example.org" if number % 5 == 0 else "bob@example.org",)
        )
        for number in range(40)
    ]
    with a_pool(server.at("full")) as pool:
        ends = deliver(pool, mails, window=window, deadline=in_seconds(20))
    assert [isinstance(end, Sent) for end in ends] == [number % 5 != 0 for number in range(40)]
    assert len(server.arrived(token, 32)) == 32


def test_one_session_carries_hundreds_of_mails_in_a_window(server, token):
    """Postfix counts RSET as junk, a hundred of which it bears between two mails."""
    mails = [a_mail(number, body=token) for number in range(300)]
    with a_pool(server.at("full"), max_messages=300) as pool:
        ends = deliver(pool, mails, window=32, deadline=in_seconds(30))
    assert all(isinstance(end, Sent) for end in ends)
    assert len(server.arrived(token, 300, 30)) == 300


def test_starttls_and_each_way_to_sign_in(server, token, localhost_certificate):
    tim = Credentials(username=f"{postfix.USER}@{postfix.REALM}", password=postfix.PASSWORD)
    places = [
        at(server.at("full"), credentials=tim),
        at(
            server.at("full"),
            credentials=tim,
            security=Security.STARTTLS,
            context=localhost_certificate.client(),
        ),
        at(
            server.at("tls"),
            credentials=tim,
            security=Security.TLS,
            context=localhost_certificate.client(),
        ),
    ]
    for place in places:
        session = open_session(place, in_seconds())
        assert session.quiet()
        assert send(session, a_mail(body=token), deadline=in_seconds())
        session.quit(in_seconds())
    assert len(server.arrived(token, 3)) == 3
    wait_until(lambda: "sasl_method=CRAM-MD5" in server.log)
    wait_until(lambda: "sasl_method=PLAIN" in server.log)


def test_a_wrong_password_is_told(server):
    tim = Credentials(username=f"{postfix.USER}@{postfix.REALM}", password="wrong")
    with pytest.raises(RefusedError) as caught:
        open_session(at(server.at("full"), credentials=tim), in_seconds())
    assert caught.value.reply.code == 535
    for mechanism in ("CRAM-MD5", "PLAIN", "LOGIN"):
        wait_until(lambda said=f"SASL {mechanism} authentication failed": said in server.log)


@pytest.mark.parametrize("way", ["few", "late"])
def test_more_recipients_than_postfix_takes_at_once_each_get_it_once(server, token, way):
    """Its ``smtpd_recipient_limit`` is 3 there."""
    to = tuple(f"{token}-{number}@example.org" for number in range(8))
    with a_pool(server.at(way)) as pool:
        (end,) = deliver(pool, [a_mail(body=token, to=to)], deadline=in_seconds())
    assert isinstance(end, Sent)
    assert end.refused == {}
    mails = server.arrived(token, 8)
    delivered = [line for mail in mails for line in mail.splitlines() if b"Delivered-To:" in line]
    assert sorted(delivered) == sorted(f"Delivered-To: {one}".encode() for one in to)


def test_a_refused_rate_speaks_of_the_route_and_the_next_mail_has_a_new_session(server):
    """Its ``smtpd_client_message_rate_limit`` is 2 there: MAIL is refused with 450 4.7.1."""
    backend = EmailBackend(alias="default", host="localhost", port=server.ports["rated"])
    before = server.log.count("connect from")
    try:
        outcomes = [
            backend.send_outcomes([EmailMessage("Code", "x", "a@example.org", ["b@example.org"])])
            for _ in range(4)
        ]
    finally:
        smtp.close_pools()
    ends = [(outcome.kind, outcome.blame) for (outcome,) in outcomes]
    assert ends[:2] == [(Kind.ACCEPTED, Blame.MAIL)] * 2
    assert ends[2:] == [(Kind.TRANSIENT, Blame.ROUTE)] * 2
    wait_until(lambda: server.log.count("connect from") - before >= 3)


def test_a_host_without_a_full_name_is_let_in(server, token):
    """Postfix may refuse a greeting by a container's bare name, and none by an address."""
    with a_session(server.at("named"), local_name=lambda: "3f9c2a") as session:
        assert send(session, a_mail(body=token), deadline=in_seconds())
    assert server.arrived(token)


def test_a_session_that_postfix_timed_out_is_replaced_unseen(server, token):
    """Postfix says 421 and closes after a second here; the pool sees it without a round trip."""
    with a_pool(server.at("brief")) as pool:
        for _ in range(2):
            (end,) = deliver(pool, [a_mail(body=token)], deadline=in_seconds())
            assert isinstance(end, Sent)
            assert eventually(lambda: not pool._idle or not pool._idle[0].quiet())
    assert len(server.arrived(token, 2)) == 2


def test_threads_share_a_pool(server, token):
    with a_pool(server.at("full"), size=4) as pool, ThreadPoolExecutor(16) as threads:
        ends = list(
            threads.map(
                lambda number: deliver(pool, [a_mail(number, body=token)], deadline=in_seconds(20)),
                range(200),
            )
        )
    assert all(isinstance(end, Sent) for (end,) in ends)
    assert len(server.arrived(token, 200)) == 200


def test_django_sends_through_it(server, token, localhost_certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(localhost_certificate.cert))
    backend = EmailBackend(
        alias="default",
        host="localhost",
        port=server.ports["full"],
        username=f"{postfix.USER}@{postfix.REALM}",
        password=postfix.PASSWORD,
        use_tls=True,
        timeout=10,
    )
    try:
        to_bob = EmailMessage("Code", token, "alice@example.org", ["Bob <bob@example.org>"])
        to_nobody = EmailMessage("Code", token, "alice@example.org", ["nobody@example.org"])
        accepted, refused = backend.send_outcomes([to_bob, to_nobody], timeout=10)
    finally:
        smtp.close_pools()
    assert accepted.kind is Kind.ACCEPTED
    assert "queued as" in accepted.reply
    assert (refused.kind, refused.blame, refused.code) == (Kind.PERMANENT, Blame.MAIL, 550)
    assert "nobody@" not in refused.reply
    assert len(server.arrived(token)) == 1
