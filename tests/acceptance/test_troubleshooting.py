"""What stands in the log when a mail server is not spoken to as it should be.

Each row is a server as it is met in the field, a real session with it, and what ``grep "Email"``
finds then: docs/how-to/troubleshoot.md has the same rows.
"""

import contextlib
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from otpmail import challenges, routes
from otpmail.smtp.connecting import memory as addresses
from otpmail.smtp.modes import memory as modes
from tests import mailserver
from tests.mailserver import free_port
from tests.scripted import Talk, scripted

pytestmark = pytest.mark.django_db(transaction=True)

DOC = Path(__file__).parents[2] / "docs/how-to/troubleshoot.md"

SECRET = "the password that nobody may read"

USE_TLS, USE_SSL = {"use_tls": True}, {"use_ssl": True}
SIGN_IN = {"username": "kiosk@mail.example", "password": SECRET}


@dataclass(frozen=True)
class Row:
    """One thing that is wrong; ``said`` is what the log must say of cause and setting."""

    wrong: str
    script: Callable[[Talk], None] | None
    said: str
    options: dict[str, Any] = field(default_factory=dict)


# Servers.


def says(greeting: bytes) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.say(greeting)
        talk.wait_for_end()

    return script


def answers(offer: bytes, **replies: bytes) -> Callable[[Talk], None]:
    """Greet, and answer each command by its name; all others with 250."""

    def script(talk: Talk) -> None:
        talk.greet(offer)
        while True:
            command = talk.hear().split()[0].decode().lower()
            talk.say(replies.get(command, b"250 2.0.0 Ok") + b"\r\n")

    return script


def answers_all(reply: bytes) -> Callable[[Talk], None]:
    """Greet as a mail server does, and be none."""

    def script(talk: Talk) -> None:
        talk.say(b"220 files.example\r\n")
        while talk.hear():
            talk.say(reply + b"\r\n")

    return script


def wants_certificate(version: ssl.TLSVersion) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        context = CERTIFICATES["good"]
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = version
        talk.encrypt(context)
        talk.wait_for_end()

    return script


def speaks_old_tls(talk: Talk) -> None:
    """Answer as one that knows TLS 1.0 and 1.1: its alert is protocol_version (RFC 8446, 6.2)."""
    talk.say(b"\x15\x03\x01\x00\x02\x02\x46")
    talk.wait_for_end()


def silent(talk: Talk) -> None:
    talk.wait_for_end()


def shows(name: str) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.encrypt(CERTIFICATES[name])
        talk.greet()

    return script


USAGE = (False, False, False, False, False, True, True, False, False)
"""Of an authority: to sign certificates and lists of those that were revoked."""

CERTIFICATES: dict[str, ssl.SSLContext] = {}

KEYLESS = Path(tempfile.mkdtemp()) / "certificate.pem"


@pytest.fixture(scope="module", autouse=True)
def _certificates(tmp_path_factory) -> Iterator[None]:
    """Make one authority that is trusted and one that is not, and what they sign."""
    home = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    yesterday, tomorrow = timedelta(days=-1), timedelta(days=1)
    trusted, stranger = issuer(key, "Trusted"), issuer(key, "Stranger")
    made = {
        "expired": certificate(key, trusted, "localhost", until=yesterday),
        "wrong name": certificate(key, trusted, "other.example.org", until=tomorrow),
        "stranger": certificate(key, stranger, "localhost", until=tomorrow),
        "good": certificate(key, trusted, "localhost", until=tomorrow),
        "self-signed": certificate(key, None, "localhost", until=tomorrow),
    }
    (home / "trusted.pem").write_bytes(trusted.public_bytes(serialization.Encoding.PEM))
    KEYLESS.write_bytes(made["good"].public_bytes(serialization.Encoding.PEM))
    for name, one in made.items():
        path = home / f"{name}.pem"
        path.write_bytes(pem(key) + one.public_bytes(serialization.Encoding.PEM))
        CERTIFICATES[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        CERTIFICATES[name].load_cert_chain(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(home / "trusted.pem"))
        patch.setenv("SSL_CERT_DIR", str(home / "none"))
        yield


def issuer(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    return certificate(key, None, name, until=timedelta(days=2), is_authority=True)


def certificate(
    key: ec.EllipticCurvePrivateKey,
    by: x509.Certificate | None,
    name: str,
    *,
    until: timedelta,
    is_authority: bool = False,
) -> x509.Certificate:
    now, subject = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + until)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    if is_authority:
        builder = builder.add_extension(x509.KeyUsage(*USAGE), critical=True)
    return builder.sign(key, hashes.SHA256())


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


OFFER_AUTH = b"250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n"
OFFER_NOTHING = b"250 mail.example\r\n"

ROWS = [
    Row(
        "wrong host",
        None,
        "the host is not found.*host/EMAIL_HOST",
        {"host": "no-such-host.invalid"},
    ),
    Row("wrong port", None, "Connection refused.*host/EMAIL_HOST or port/EMAIL_PORT"),
    Row(
        "wrong password",
        answers(OFFER_AUTH, auth=b"535 5.7.8 Error: authentication failed"),
        "code=535.*username/EMAIL_HOST_USER and password/EMAIL_HOST_PASSWORD",
        SIGN_IN,
    ),
    Row(
        "no password",
        answers(OFFER_AUTH, mail=b"530 5.7.0 Authentication required"),
        "code=530.*username/EMAIL_HOST_USER and password/EMAIL_HOST_PASSWORD",
    ),
    Row(
        "a password that is asked for under TLS alone",
        answers(OFFER_NOTHING),
        "AUTH extension not supported.*use_tls/EMAIL_USE_TLS",
        SIGN_IN,
    ),
    Row(
        "TLS that the server wants",
        answers(OFFER_NOTHING, mail=b"530 5.7.0 Must issue a STARTTLS command first"),
        "STARTTLS command first.*use_tls/EMAIL_USE_TLS",
    ),
    Row(
        "TLS wanted and not offered",
        answers(OFFER_NOTHING),
        "STARTTLS extension not supported.*port/EMAIL_PORT.*use_ssl/EMAIL_USE_SSL",
        USE_TLS,
    ),
    Row("a port that speaks TLS", silent, "banner timed out.*use_ssl/EMAIL_USE_SSL"),
    Row(
        "a port that speaks TLS, and says so",
        says(b"\x15\x03\x01\x00\x02\x02\x46"),
        "this port speaks TLS: use_ssl/EMAIL_USE_SSL",
    ),
    Row(
        "a port that begins without TLS",
        answers(OFFER_NOTHING),
        "answered in plain text.*use_tls/EMAIL_USE_TLS in place of use_ssl/EMAIL_USE_SSL",
        USE_SSL,
    ),
    Row(
        "IMAP's port",
        says(b"* OK [CAPABILITY IMAP4rev1 IDLE] Dovecot ready.\r\n"),
        r"IMAP's: port/EMAIL_PORT.*\* OK \[CAPABILITY IMAP4rev1",
    ),
    Row("POP3's port", says(b"+OK Dovecot ready.\r\n"), "POP3's: port/EMAIL_PORT"),
    Row(
        "a web server's port",
        says(b"HTTP/1.1 400 Bad Request\r\n"),
        r"a web server's: port/EMAIL_PORT.*HTTP/1\.1 400 Bad Request",
    ),
    Row(
        "expired certificate",
        shows("expired"),
        "certificate has expired.*renew the server's certificate",
        USE_SSL | {"host": "localhost"},
    ),
    Row(
        "self-signed certificate",
        shows("self-signed"),
        "self-signed certificate.*SSL_CERT_FILE",
        USE_SSL | {"host": "localhost"},
    ),
    Row(
        "certificate of an unknown authority",
        shows("stranger"),
        "unable to get local issuer certificate.*SSL_CERT_FILE",
        USE_SSL | {"host": "localhost"},
    ),
    Row(
        "certificate of another name",
        shows("wrong name"),
        "certificate is not valid for 'localhost'.*host/EMAIL_HOST must be a name",
        USE_SSL | {"host": "localhost"},
    ),
    Row("silent server", silent, "timed out.*use_tls/EMAIL_USE_TLS.*port/EMAIL_PORT", USE_SSL),
    Row(
        "relay denied",
        answers(OFFER_NOTHING, rcpt=b"554 5.7.1 <bob@example.org>: Relay access denied"),
        "Relay access denied.*username/EMAIL_HOST_USER.*host/EMAIL_HOST",
    ),
    Row(
        "sender refused",
        answers(OFFER_NOTHING, mail=b"553 5.1.8 <kiosk@localhost>: Sender address rejected"),
        "Sender address rejected.*OTPMAIL_FROM or DEFAULT_FROM_EMAIL",
    ),
    Row(
        "a server that takes nothing from here",
        says(b"554 5.7.1 You are not welcome\r\n"),
        "You are not welcome.*host/EMAIL_HOST",
    ),
    Row(
        "client certificate wanted",
        wants_certificate(ssl.TLSVersion.TLSv1_3),
        "CERTIFICATE_REQUIRED.*ssl_certfile/EMAIL_SSL_CERTFILE",
        USE_SSL | {"host": "localhost"},
    ),
    Row(
        "client certificate wanted, under TLS 1.2",
        wants_certificate(ssl.TLSVersion.TLSv1_2),
        "HANDSHAKE_FAILURE.*ssl_certfile/EMAIL_SSL_CERTFILE",
        USE_SSL | {"host": "localhost"},
    ),
    Row(
        "TLS of before 1.2",
        speaks_old_tls,
        "PROTOCOL_VERSION.*older than this host takes",
        USE_SSL | {"host": "localhost"},
    ),
    Row(
        "a certificate without its key",
        answers(OFFER_NOTHING),
        "TLS file.*ssl_certfile/EMAIL_SSL_CERTFILE, ssl_keyfile/EMAIL_SSL_KEYFILE",
        USE_SSL | {"ssl_certfile": str(KEYLESS)},
    ),
    Row(
        "a password where a token is wanted",
        answers(b"250-mail.example\r\n250 AUTH XOAUTH2\r\n"),
        "it takes no password: token",
        SIGN_IN,
    ),
    Row(
        "a token where a password is wanted",
        answers(OFFER_AUTH),
        "it takes no token: password/EMAIL_HOST_PASSWORD",
        {"username": "kiosk", "token": lambda: SECRET},
    ),
    Row(
        "no such path of a token",
        answers(OFFER_AUTH),
        "token cannot be imported.*token, a callable or its dotted path",
        {"username": "kiosk", "token": "no.such.thing"},
    ),
    Row(
        "a token's callable that raises",
        answers(OFFER_AUTH),
        "no token could be had: ZeroDivisionError.*token, a callable",
        {"username": "kiosk", "token": lambda: 1 / 0},
    ),
    Row(
        "FTP's port",
        answers_all(b"530 Please login with USER and PASS."),
        "this port is FTP's: port/EMAIL_PORT",
    ),
    Row("LMTP's port", answers_all(b"500 5.5.1 Unknown command"), "SMTP's[?] port/EMAIL_PORT"),
    Row(
        "a wrong password, told at length",
        answers(OFFER_AUTH, auth=b"535 5.7.8 " + b"Username and password not accepted. " * 9),
        "username/EMAIL_HOST_USER and password/EMAIL_HOST_PASSWORD",
        SIGN_IN,
    ),
    Row(
        "a sender refused at length",
        answers(
            OFFER_NOTHING, mail=b"553 5.1.8 Sender address rejected. " + b"See the rules. " * 20
        ),
        "OTPMAIL_FROM or DEFAULT_FROM_EMAIL",
    ),
]
EACH = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.wrong)


@contextlib.contextmanager
def server(row: Row) -> Iterator[int]:
    """Give a port on which it goes wrong."""
    if row.script is None:
        yield free_port()
        return
    with scripted(row.script) as running:
        yield running.port


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    yield
    routes.close()
    addresses.clear()
    modes.clear()


def found(settings, caplog, row: Row) -> list[str]:
    """Have a code sent, and give what ``grep Email`` finds."""
    settings.OTPMAIL_RETRY_SECONDS = []
    with server(row) as port:
        options = {"host": "127.0.0.1", "port": port, "timeout": 0.5, "min_warm": 0}
        mailserver.route_through(settings, mailserver.OUR_BACKEND, **options | row.options)
        with caplog.at_level("INFO"):
            challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    own = [record for record in caplog.records if record.name.startswith("otpmail")]
    assert own
    assert all("\n" not in record.getMessage() for record in own)
    return [line for line in caplog.messages if "Email" in line]


@EACH
def test_log_leads_to_the_cause_and_the_setting(settings, caplog, row):
    lines = found(settings, caplog, row)
    host = row.options.get("host", "127.0.0.1")
    telling = [line for line in lines if re.search(row.said, line)]
    assert telling, "\n".join(lines)
    for line in lines:
        assert SECRET not in line
        assert "alice@" not in line
        if " route=" in line:
            assert re.search(rf" route=default server={re.escape(host)}:\d+ ", line)


@EACH
def test_table_of_the_docs_is_what_the_log_says(settings, caplog, row):
    lines = found(settings, caplog, row)
    (reply,) = {match[1] for line in lines if (match := re.search(r"reply=['\"](.*)['\"]$", line))}
    plain = reply.replace("\\'", "'").replace("127.0.0.1", "192.0.2.1")
    plain = re.sub(r"(?<=not found: )[^(]+(?= \()", "Name or service not known", plain)
    assert f"| {row.wrong} | `{plain}` |" in DOC.read_text(), f"write: | {row.wrong} | `{plain}` |"
