"""Signing in goes on to the next way: servers list what they cannot do."""

import base64
import hashlib
import hmac

import pytest

from otpmail.smtp.auth import Credentials
from otpmail.smtp.errors import BrokenError, ProtocolError, RefusedError, WireError
from otpmail.smtp.handshake import Security, open_session
from tests.mailings import at, in_seconds
from tests.scripted import ScriptedServer, Talk, scripted

TIM = Credentials(username="tim", password="tanstaaf")
ALL = "PLAIN LOGIN CRAM-MD5"


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


class Guarded:
    """A server at which one signs in by the ways that ``works`` names, and is refused by others."""

    def __init__(self, offered: str, works: str = "", *, certificate=None, **refuses: bytes):
        self.offered, self.works = offered, works
        self.refuses = {way.replace("_", "-"): reply for way, reply in refuses.items()}
        self.certificate = certificate
        self.tried: list[str] = []

    def __call__(self, talk: Talk) -> None:
        if self.certificate is not None:
            talk.encrypt(self.certificate.server())
        talk.greet(b"250-guarded\r\n250 AUTH " + self.offered.encode() + b"\r\n")
        while (line := talk.hear()).startswith(b"AUTH"):
            way = line.split()[1].decode()
            self.tried.append(way)
            reply = self.refuses.get(way, b"535 5.7.8 no")
            if reply == b"hang up":
                return
            is_right = self._hear(talk, way, line)
            if reply == b"asks on":
                assert self._ask(talk, b"and?") == b"*"
                reply = b"501 5.7.0 cancelled"
            assert is_right or way not in self.works.split()
            talk.say((b"235 ok" if way in self.works.split() else reply) + b"\r\n")
        talk.wait_for_end()

    def _hear(self, talk: Talk, way: str, line: bytes) -> bool:
        if way == "PLAIN":
            return line.split()[2] == b64(b"\0tim\0tanstaaf")
        if self.refuses.get(way, b"535").startswith(b"504"):
            return False
        if way == "LOGIN":
            return self._ask(talk, b"Username:") == b"tim" and (
                self._ask(talk, b"Password:") == b"tanstaaf"
            )
        digest = hmac.new(b"tanstaaf", b"<1@x>", hashlib.md5).hexdigest().encode()
        return self._ask(talk, b"<1@x>") == b"tim " + digest

    @staticmethod
    def _ask(talk: Talk, question: bytes) -> bytes:
        talk.say(b"334 " + b64(question) + b"\r\n")
        line = talk.hear()
        return line if line == b"*" else base64.b64decode(line)


@pytest.fixture(params=["in the clear", "under TLS"])
def tls(request, localhost_certificate):
    return localhost_certificate if request.param == "under TLS" else None


def options(tls) -> dict:
    if tls is None:
        return {"credentials": TIM}
    secure = {"host": "localhost", "security": Security.TLS, "context": tls.client()}
    return secure | {"credentials": TIM}


def failure(server: ScriptedServer, tls) -> WireError:
    with pytest.raises(WireError) as caught:
        open_session(at(server, **options(tls)), in_seconds())
    assert "tanstaaf" not in str(caught.value) + repr(caught.value)
    return caught.value


@pytest.mark.parametrize("works", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("reply", [b"535 5.7.8 no", b"504 5.5.4 not here", b"534 5.7.9 too weak",
                                   b"454 4.7.0 no secrets", b"500 what?", b"571 no"])  # fmt: skip
def test_what_is_listed_and_refused_gives_way_to_what_works(tls, works, reply):
    refuses = {way.replace("-", "_"): reply for way in ALL.split() if way != works}
    guarded = Guarded(ALL, works, certificate=tls, **refuses)
    with scripted(guarded) as server:
        open_session(at(server, **options(tls)), in_seconds()).close()
    assert guarded.tried[-1] == works
    assert len(set(guarded.tried)) == len(guarded.tried)


def test_under_tls_what_costs_least_comes_first_and_in_the_clear_what_hides(tls):
    guarded = Guarded(ALL, ALL, certificate=tls)
    with scripted(guarded) as server:
        open_session(at(server, **options(tls)), in_seconds()).close()
    assert guarded.tried == (["CRAM-MD5"] if tls is None else ["PLAIN"])


@pytest.mark.parametrize("asks_on", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_way_that_asks_for_more_than_it_may_is_cancelled(tls, asks_on):
    """RFC 4954, 4."""
    works = "LOGIN" if asks_on == "PLAIN" else "PLAIN"
    refuses = {asks_on.replace("-", "_"): b"asks on", works: b"535 no"}
    guarded = Guarded(f"{asks_on} {works}", works, certificate=tls, **refuses)
    with scripted(guarded) as server:
        open_session(at(server, **options(tls)), in_seconds()).close()
    assert guarded.tried[-1] == works


@pytest.mark.parametrize(
    "prompt", [b"334 Username:", b"334", b"334 ", b"334\tVXNlcm5hbWU6", b"399"]
)
def test_a_prompt_of_login_may_be_worded_as_it_likes(prompt):
    heard = []

    def script(talk: Talk) -> None:
        talk.greet(b"250-scripted\r\n250 AUTH=LOGIN\r\n")
        for reply in (prompt, prompt, b"235 ok"):
            heard.append(talk.hear())
            talk.say(reply + b"\r\n")
        talk.wait_for_end()

    with scripted(script) as server:
        open_session(at(server, credentials=TIM), in_seconds()).close()
    assert heard == [b"AUTH LOGIN", b64(b"tim"), b64(b"tanstaaf")]


def test_each_way_is_tried_once_under_a_wrong_password(tls):
    guarded = Guarded(ALL, certificate=tls)
    with scripted(guarded) as server:
        error = failure(server, tls)
        assert len(server.talks) == 1
    assert isinstance(error, RefusedError)
    assert error.reply.code == 535
    assert sorted(guarded.tried) == ["CRAM-MD5", "LOGIN", "PLAIN"]


@pytest.mark.parametrize(
    ("replies", "told"),
    [
        ({"PLAIN": b"535 no", "LOGIN": b"504 no", "CRAM_MD5": b"504 no"}, 535),
        ({"PLAIN": b"504 no", "LOGIN": b"535 no", "CRAM_MD5": b"534 no"}, 535),
        ({"PLAIN": b"535 no", "LOGIN": b"454 later", "CRAM_MD5": b"535 no"}, 454),
        ({"PLAIN": b"535 no", "LOGIN": b"501 no", "CRAM_MD5": b"500 no"}, 535),
        ({"PLAIN": b"504 no", "LOGIN": b"504 no", "CRAM_MD5": b"504 no"}, 504),
    ],
)
def test_of_many_refusals_the_one_that_tells_most_is_told(tls, replies, told):
    with scripted(Guarded(ALL, certificate=tls, **replies)) as server:
        error = failure(server, tls)
    assert isinstance(error, RefusedError)
    assert error.reply.code == told


@pytest.mark.parametrize("goes", [b"hang up", b"421 4.7.0 too many errors"])
def test_who_is_hung_up_on_after_a_refusal_is_told_the_refusal(tls, goes):
    second = "LOGIN"
    guarded = Guarded("PLAIN LOGIN", certificate=tls, **{second: goes})
    with scripted(guarded) as server:
        error = failure(server, tls)
    assert isinstance(error, RefusedError)
    assert error.reply.code == (535 if goes == b"hang up" else 421)


def test_an_error_of_this_side_after_a_refusal_is_no_hanging_up():
    no_text = Credentials(username="\ud800", password="tanstaaf")
    with (
        scripted(Guarded("CRAM-MD5 PLAIN", CRAM_MD5=b"504 no")) as server,
        pytest.raises(BrokenError, match="UnicodeEncodeError"),
    ):
        open_session(at(server, credentials=no_text), in_seconds())


def test_who_is_hung_up_on_at_once_is_told_so(tls):
    with scripted(Guarded("PLAIN", certificate=tls, PLAIN=b"hang up")) as server:
        assert isinstance(failure(server, tls), BrokenError)


def test_who_need_not_sign_in_is_signed_in(tls):
    """As ``smtplib`` has it."""
    with scripted(Guarded("PLAIN", certificate=tls, PLAIN=b"503 5.5.1 already")) as server:
        open_session(at(server, **options(tls)), in_seconds()).close()


def test_a_digest_that_this_host_forbids_is_not_begun(monkeypatch):
    """As under FIPS."""

    def forbidden(*_):
        raise ValueError("unsupported hash type md5")

    guarded = Guarded("CRAM-MD5 PLAIN", "PLAIN")
    monkeypatch.setattr("otpmail.smtp.auth.hmac.new", forbidden)
    with scripted(guarded) as server:
        open_session(at(server, credentials=TIM), in_seconds()).close()
    assert guarded.tried == ["PLAIN"]


def test_a_server_that_asks_on_and_on_is_left():
    def script(talk: Talk) -> None:
        talk.greet(b"250-scripted\r\n250 AUTH PLAIN LOGIN\r\n")
        while True:
            talk.hear()
            talk.say(b"334 " + b64(b"again") + b"\r\n")

    with scripted(script) as server:
        assert isinstance(failure(server, None), ProtocolError)
