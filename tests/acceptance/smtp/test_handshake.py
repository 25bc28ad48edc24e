"""How a session is opened, and how that can fail."""

import base64
import hashlib
import hmac
import threading
import time

import pytest

from otpmail.smtp import handshake
from otpmail.smtp.auth import Credentials
from otpmail.smtp.errors import (
    BrokenError,
    InsecureChannelError,
    Phase,
    ProtocolError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
    WireError,
)
from otpmail.smtp.handshake import Security, open_session
from otpmail.smtp.session import Timeouts
from tests.mailings import a_session, at, in_seconds
from tests.scripted import OFFER_ALL, OFFER_NOTHING, Talk, scripted

TIM = Credentials(username="tim", password="tanstaaf")
DIGEST = hmac.new(b"tanstaaf", b"<1@x>", hashlib.md5).hexdigest().encode()


def failure(server, seconds: float = 60.0, **options) -> WireError:
    with pytest.raises(WireError) as caught:
        open_session(at(server, **options), in_seconds(seconds))
    return caught.value


def test_a_banner_that_never_comes_is_not_waited_for():
    with scripted(Talk.wait_for_end) as server:
        start = time.monotonic()
        error = failure(server, timeouts=Timeouts(reply=0.3))
        assert time.monotonic() - start < 20
    assert isinstance(error, TimedOutError)
    assert error.phase is Phase.BANNER


def test_this_hosts_name_is_looked_up_for_a_while_and_then_its_address_stands_for_it(monkeypatch):
    monkeypatch.setattr(handshake, "NAME_WITHIN", 0.05)
    found = threading.Event()

    def look_up() -> str:
        found.wait(15)
        return "found.example.org"

    def script(talk: Talk):
        talk.greet()
        talk.wait_for_end()

    with scripted(script) as server:
        with a_session(server, local_name=look_up):
            assert server.talks[0].heard == [b"EHLO [127.0.0.1]"]
        found.set()
        monkeypatch.setattr(handshake, "NAME_WITHIN", 15.0)
        with a_session(server, local_name=look_up):
            assert server.talks[1].heard == [b"EHLO found.example.org"]


def test_no_phase_outlives_the_callers_budget():
    def script(talk: Talk):
        talk.say(b"220 scripted\r\n")
        talk.wait_for_end()

    with scripted(script) as server:
        start = time.monotonic()
        error = failure(server, seconds=1)
        assert time.monotonic() - start < 20
    assert isinstance(error, TimedOutError)
    assert error.phase is Phase.EHLO


def test_a_spent_budget_opens_nothing():
    with scripted(Talk.wait_for_end) as server:
        assert failure(server, seconds=0).phase is Phase.CONNECT


def test_a_port_where_nobody_listens_is_told():
    with scripted(Talk.wait_for_end) as server:
        pass
    error = failure(server)
    assert isinstance(error, BrokenError)
    assert error.phase is Phase.CONNECT


@pytest.mark.parametrize("banner", [b"554 no service\r\n", b"421 too busy\r\n"])
def test_a_server_that_turns_us_away_is_told_with_its_reply(banner):
    def script(talk: Talk):
        talk.say(banner)
        talk.wait_for_end()

    with scripted(script) as server:
        error = failure(server)
    assert isinstance(error, RefusedError)
    assert error.phase is Phase.BANNER
    assert error.reply.code == int(banner[:3])


def test_what_is_not_smtp_is_told():
    def script(talk: Talk):
        talk.say(b"SSH-2.0-OpenSSH_9.2\r\n")
        talk.wait_for_end()

    with scripted(script) as server:
        error = failure(server)
    assert isinstance(error, ProtocolError)
    assert error.phase is Phase.BANNER


def test_starttls_puts_the_session_under_tls(localhost_certificate):
    def script(talk: Talk):
        talk.greet(b"250-scripted\r\n250 STARTTLS\r\n")
        assert talk.hear() == b"STARTTLS"
        talk.say(b"220 go on\r\n")
        talk.encrypt(localhost_certificate.server())
        assert talk.hear() == b"EHLO client.example.org"
        talk.say(OFFER_ALL)
        talk.take_chunked()

    options = {
        "host": "localhost",
        "security": Security.STARTTLS,
        "context": localhost_certificate.client(),
    }
    with scripted(script) as server, a_session(server, **options) as session:
        assert session.channel.encrypted
        assert "STARTTLS" not in session.features  # what was said in the clear is void
        assert session.quiet()


def test_tls_from_the_first_octet(localhost_certificate):
    def script(talk: Talk):
        talk.encrypt(localhost_certificate.server())
        talk.greet()
        talk.wait_for_end()

    options = {
        "host": "localhost",
        "security": Security.TLS,
        "context": localhost_certificate.client(),
    }
    with scripted(script) as server, a_session(server, **options) as session:
        assert session.channel.encrypted
        assert session.quiet()


@pytest.mark.parametrize(
    "injected", [b"\r\n250 AUTH PLAIN\r\n", b"\n250 AUTH PLAIN\n", b"\r\n2", b"\n\n", b"\r\n\0"]
)
def test_plain_text_left_after_starttls_is_not_taken_for_the_servers_word(
    localhost_certificate, injected
):
    def script(talk: Talk):
        talk.greet(b"250-scripted\r\n250 STARTTLS\r\n")
        talk.hear()
        talk.say(b"220 go on" + injected)
        talk.wait_for_end()

    with scripted(script) as server:
        error = failure(
            server,
            host="localhost",
            security=Security.STARTTLS,
            context=localhost_certificate.client(),
        )
    assert isinstance(error, ProtocolError)
    assert error.phase is Phase.STARTTLS


def test_without_starttls_no_mail_goes_in_the_clear():
    def script(talk: Talk):
        talk.greet(OFFER_NOTHING)
        talk.wait_for_end()

    with scripted(script) as server:
        error = failure(server, security=Security.STARTTLS, credentials=TIM)
        assert len(server.talks[0].heard) == 1
    assert isinstance(error, UnsupportedError)


def test_a_certificate_for_another_host_is_refused(other_certificate):
    def script(talk: Talk):
        talk.encrypt(other_certificate.server())

    with scripted(script) as server:
        error = failure(
            server, host="localhost", security=Security.TLS, context=other_certificate.client()
        )
    assert isinstance(error, InsecureChannelError)
    assert error.phase is Phase.TLS


def test_a_certificate_that_nobody_vouches_for_is_refused(localhost_certificate, other_certificate):
    def script(talk: Talk):
        talk.encrypt(localhost_certificate.server())

    with scripted(script) as server:
        error = failure(
            server, host="localhost", security=Security.TLS, context=other_certificate.client()
        )
    assert isinstance(error, InsecureChannelError)


def test_a_handshake_that_never_ends_is_not_waited_for(localhost_certificate):
    with scripted(Talk.wait_for_end) as server:
        error = failure(
            server,
            host="localhost",
            security=Security.TLS,
            context=localhost_certificate.client(),
            timeouts=Timeouts(tls=0.3),
        )
    assert isinstance(error, TimedOutError)
    assert error.phase is Phase.TLS


def signing_in(offer: bytes, *exchange: tuple[bytes, bytes]):
    """Greet, then expect each line and say each reply."""

    def script(talk: Talk):
        talk.greet(b"250-scripted\r\n250 AUTH " + offer + b"\r\n")
        for expected, reply in exchange:
            assert talk.hear() == expected
            talk.say(reply + b"\r\n")
        talk.wait_for_end()

    return script


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


def test_plain_login_and_cram_md5_sign_in():
    scripts = [
        signing_in(b"PLAIN", (b"AUTH PLAIN " + b64(b"\0tim\0tanstaaf"), b"235 ok")),
        signing_in(
            b"LOGIN",
            (b"AUTH LOGIN", b"334 " + b64(b"Username:")),
            (b64(b"tim"), b"334 " + b64(b"Password:")),
            (b64(b"tanstaaf"), b"235 ok"),
        ),
        signing_in(
            b"PLAIN CRAM-MD5",
            (b"AUTH CRAM-MD5", b"334 " + b64(b"<1@x>")),
            (b64(b"tim " + DIGEST), b"235 ok"),
        ),
    ]
    for script in scripts:
        with scripted(script) as server, a_session(server, credentials=TIM) as session:
            assert session.usable


def test_a_token_signs_in_and_one_too_long_for_the_command_follows_it():
    short = Credentials(username="tim", token=lambda: "t")
    long = Credentials(username="tim", token=lambda: "t" * 2000)
    initial = b64(b"user=tim\1auth=Bearer " + b"t" * 2000 + b"\1\1")
    scripts = {
        short: signing_in(
            b"XOAUTH2", (b"AUTH XOAUTH2 " + b64(b"user=tim\1auth=Bearer t\1\1"), b"235 ok")
        ),
        long: signing_in(b"XOAUTH2", (b"AUTH XOAUTH2", b"334 "), (initial, b"235 ok")),
    }
    for credentials, script in scripts.items():
        with scripted(script) as server, a_session(server, credentials=credentials) as session:
            assert session.usable


def test_a_refused_token_is_told_after_its_challenge_is_answered():
    credentials = Credentials(username="tim", token=lambda: "t")
    script = signing_in(
        b"XOAUTH2",
        (
            b"AUTH XOAUTH2 " + b64(b"user=tim\1auth=Bearer t\1\1"),
            b"334 " + b64(b'{"status":"401"}'),
        ),
        (b"", b"535 5.7.8 no"),
    )
    with scripted(script) as server:
        error = failure(server, credentials=credentials)
    assert isinstance(error, RefusedError)
    assert error.phase is Phase.AUTH


@pytest.mark.parametrize("challenge", [b"334 !", b"334 " + b64(b"again")])
def test_a_sign_in_that_makes_no_sense_ends(challenge):
    def script(talk: Talk):
        talk.greet(b"250-scripted\r\n250 AUTH PLAIN\r\n")
        while True:
            talk.hear()
            talk.say(challenge + b"\r\n")

    with scripted(script) as server:
        error = failure(server, credentials=TIM)
    assert isinstance(error, ProtocolError)
    assert error.phase is Phase.AUTH
