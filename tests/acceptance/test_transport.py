"""A code leaves under TLS with a mail server whose name is proven, or it does not leave."""

import ssl
import subprocess
from pathlib import Path

import pytest

from otpmail import challenges
from otpmail.models import Attempt
from otpmail.outcomes import Kind
from tests import mailserver
from tests.mailserver import OUR_BACKEND, route_through
from tests.scripted import OFFER_ALL, Talk, scripted

pytestmark = pytest.mark.django_db(transaction=True)


class Authority:
    """A private one, as many a house has."""

    def __init__(self, home: Path) -> None:
        self.cert, self.key = home / "ca.pem", home / "ca.key"
        self._openssl("-subj", "/CN=House CA", "-keyout", self.key, "-out", self.cert)

    def server(self, name: str) -> ssl.SSLContext:
        """Certify a server, and give what it speaks TLS with."""
        cert, key = self.cert.with_name(f"{name}.pem"), self.cert.with_name(f"{name}.key")
        named = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        issuer = ("-CA", self.cert, "-CAkey", self.key)
        self._openssl(*issuer, *named, "-keyout", key, "-out", cert)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context

    @staticmethod
    def _openssl(*arguments: object) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        usage = ["-addext", "keyUsage=digitalSignature,keyEncipherment,keyCertSign"]
        subprocess.run([*command, *usage, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def trusted(authority, monkeypatch) -> None:
    """The system trusts the house."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))


def send(settings, port: int) -> Attempt:
    settings.OTPMAIL_RETRY_SECONDS = []
    route_through(settings, OUR_BACKEND, host="localhost", port=port, use_tls=True, timeout=30)
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    return Attempt.objects.get()


@pytest.mark.usefixtures("trusted")
def test_code_arrives_under_tls_of_a_private_authority(settings, authority):
    context = authority.server("localhost")
    with mailserver.running(tls_context=context, require_starttls=True) as server:
        attempt = send(settings, server.port)
        server.wait_for(1)
    assert attempt.outcome == Kind.ACCEPTED.value


def test_server_of_an_unknown_authority_gets_no_code(settings, authority):
    with mailserver.running(tls_context=authority.server("localhost")) as server:
        attempt = send(settings, server.port)
    assert (attempt.outcome, server.mails) == (Kind.TRANSIENT.value, [])
    assert "unable to get local issuer certificate" in attempt.reply


@pytest.mark.usefixtures("trusted")
def test_server_of_another_name_gets_no_code(settings, authority):
    with mailserver.running(tls_context=authority.server("other.example.org")) as server:
        attempt = send(settings, server.port)
    assert (attempt.outcome, server.mails) == (Kind.TRANSIENT.value, [])
    assert "Hostname mismatch" in attempt.reply


def test_who_takes_starttls_out_of_the_offer_gets_no_word_more(settings):
    """Somebody on the way may have done it: there is no going back to plain text."""

    def script(talk: Talk) -> None:
        talk.greet(OFFER_ALL)
        talk.wait_for_end()

    with scripted(script) as server:
        attempt = send(settings, server.port)
    assert attempt.outcome == Kind.PERMANENT.value
    assert "STARTTLS" in attempt.reply
    assert {line[:4] for talk in server.talks for line in talk.heard} == {b"EHLO"}
