"""Certificates that are renewed on disk are used by the next session of a process that runs on."""

import logging
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.mail import EmailMessage

from otpmail.backends import pools, smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Blame, Kind
from otpmail.smtp.certificates import Certificates
from tests.acceptance.smtp.conftest import Certificate, make_certificate
from tests.scripted import Talk, scripted


@pytest.fixture(autouse=True)
def _no_pools():
    yield
    smtp.close_pools()


@pytest.fixture(scope="module")
def former(tmp_path_factory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("former"), "localhost")


@pytest.fixture(scope="module")
def renewed(tmp_path_factory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("renewed"), "localhost")


@pytest.fixture
def told(caplog) -> Callable[[], list[int]]:
    caplog.set_level(logging.INFO, "otpmail.smtp.certificates")
    return lambda: [record.levelno for record in caplog.records]


class TlsServer:
    """Shows the certificate of the moment, and keeps those that its clients showed."""

    def __init__(self, own: Certificate, *clients: Certificate) -> None:
        self.own = own
        self._clients = clients
        self.shown: list[str] = []

    def __call__(self, talk: Talk) -> None:
        context = self.own.server()
        for client in self._clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client.cert)
        talk.encrypt(context)
        if certificate := talk.sock.getpeercert():
            self.shown.append(certificate["serialNumber"])
        talk.greet()
        while True:
            talk.take_chunked()


def backend(server, **options) -> EmailBackend:
    """A backend whose every mail has a session of its own; all are one pool."""
    return EmailBackend(
        alias="default",
        host="localhost",
        port=server.port,
        use_ssl=True,
        timeout=5,
        min_warm=0,
        max_messages=1,
        **options,
    )


def send(server, **options) -> int:
    mail = EmailMessage("Mail", "Body", "alice@example.org", ["bob@example.org"])
    return backend(server, **options).send_messages([mail])


def serial(certificate: Certificate) -> str:
    command = ["openssl", "x509", "-serial", "-noout", "-in", certificate.cert]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return told.strip().removeprefix("serial=")


def rewritten(path: Path, source: Path) -> None:
    path.write_bytes(source.read_bytes())


def replaced(path: Path, source: Path) -> None:
    shutil.copy(source, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def linked(path: Path, source: Path) -> None:
    """As Kubernetes and certbot do it."""
    path.with_suffix(".new").symlink_to(source)
    path.with_suffix(".new").replace(path)


PUT = [rewritten, replaced, linked]


@pytest.mark.parametrize("put", PUT)
def test_a_renewed_bundle_of_authorities_is_trusted(
    put, former, renewed, tmp_path, monkeypatch, told
):
    bundle = tmp_path / "bundle.pem"
    put(bundle, former.cert)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    tls = TlsServer(former)
    with scripted(tls) as server:
        assert send(server) == 1
        tls.own = renewed
        with pytest.raises(ssl.SSLCertVerificationError):
            send(server)
        put(bundle, renewed.cert)
        assert send(server) == 1
        assert len(pools._pools) == 1
    assert told() == [logging.INFO]


@pytest.mark.parametrize("put", PUT)
def test_a_renewed_file_in_a_directory_of_authorities_is_trusted(
    put, former, renewed, tmp_path, monkeypatch
):
    """One is renewed under its name: the subject, and with it the hash, stays."""
    command = ["openssl", "x509", "-hash", "-noout", "-in", former.cert]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    authorities = tmp_path / "authorities"
    authorities.mkdir()
    put(authorities / f"{name}.0", former.cert)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}{os.pathsep}{authorities}")
    tls = TlsServer(former)
    with scripted(tls) as server:
        assert send(server) == 1
        tls.own = renewed
        with pytest.raises(ssl.SSLCertVerificationError):
            send(server)
        put(authorities / f"{name}.0", renewed.cert)
        assert send(server) == 1


@pytest.mark.parametrize("put", PUT)
@pytest.mark.parametrize("order", [("key", "cert"), ("cert", "key")])
def test_a_renewed_client_certificate_is_shown_once_both_files_are_there(
    put, order, former, renewed, tmp_path, monkeypatch, told
):
    monkeypatch.setenv("SSL_CERT_FILE", str(former.cert))
    own = Certificate(tmp_path / "own.pem", tmp_path / "own.key")
    for kind in order:
        put(getattr(own, kind), getattr(former, kind))
    options = {"ssl_certfile": str(own.cert), "ssl_keyfile": str(own.key)}
    tls = TlsServer(former, former, renewed)
    with scripted(tls) as server:
        assert send(server, **options) == 1
        put(getattr(own, order[0]), getattr(renewed, order[0]))
        assert send(server, **options) == 1
        assert send(server, **options) == 1
        assert told() == [logging.WARNING]
        put(getattr(own, order[1]), getattr(renewed, order[1]))
        assert send(server, **options) == 1
    assert tls.shown == [serial(former)] * 3 + [serial(renewed)]
    assert told() == [logging.WARNING, logging.INFO]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(1000))


def nothing(path: Path) -> None:
    path.unlink()


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILT = [empty, half, garbage, nothing, a_directory]


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("kind", ["bundle", "cert", "key"])
def test_a_spoilt_file_changes_nothing_until_it_is_whole_and_is_told_once(
    spoil, kind, former, renewed, tmp_path, monkeypatch, told
):
    sources = {"bundle": former.cert, "cert": former.cert, "key": former.key}
    files = {kind: shutil.copy(source, tmp_path / kind) for kind, source in sources.items()}
    monkeypatch.setenv("SSL_CERT_FILE", str(files["bundle"]))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    options = {"ssl_certfile": str(files["cert"]), "ssl_keyfile": str(files["key"])}
    tls = TlsServer(former, former, renewed)
    with scripted(tls) as server:
        assert send(server, **options) == 1
        spoil(files[kind])
        for _ in range(3):
            assert send(server, **options) == 1
        assert told() == [logging.WARNING]
        if files[kind].is_dir():
            files[kind].rmdir()
        shutil.copy(renewed.key, files["key"])
        shutil.copy(renewed.cert, files["cert"])
        shutil.copy(former.cert, files["bundle"])
        assert send(server, **options) == 1
    assert tls.shown[-1] == serial(renewed)
    assert told() == [logging.WARNING, logging.INFO]


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("kind", ["cert", "key"])
def test_files_that_were_never_good_raise_and_connect_nowhere(spoil, kind, former, tmp_path):
    own = Certificate(tmp_path / "own.pem", tmp_path / "own.key")
    shutil.copy(former.cert, own.cert)
    shutil.copy(former.key, own.key)
    spoil(getattr(own, kind))
    options = {"ssl_certfile": str(own.cert), "ssl_keyfile": str(own.key)}
    mail = EmailMessage("Mail", "Body", "alice@example.org", ["bob@example.org"])
    with scripted(TlsServer(former)) as server:
        with pytest.raises(OSError):  # noqa: PT011 - FileNotFoundError, SSLError and so on
            send(server, **options)
        (outcome,) = backend(server, **options).send_outcomes([mail])
        assert server.talks == []
    assert (outcome.kind, outcome.blame) == (Kind.TRANSIENT, Blame.ROUTE)


def test_files_that_stay_are_read_once(former, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(former.cert))
    certificates = Certificates(str(former.cert), str(former.key))
    assert len({certificates.context() for _ in range(10)}) == 1


def test_threads_that_meet_a_renewal_all_get_a_context_of_it(
    former, renewed, tmp_path, monkeypatch
):
    bundle = tmp_path / "bundle.pem"
    shutil.copy(former.cert, bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    certificates = Certificates()
    together = threading.Barrier(8)
    for certificate in [renewed, former] * 5:
        certificates.context()
        replaced(bundle, certificate.cert)

        def trusted(_: int) -> list[bytes]:
            together.wait(15)
            return certificates.context().get_ca_certs(binary_form=True)

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(trusted, range(8)))
        expected = ssl.PEM_cert_to_DER_cert(certificate.cert.read_text())
        assert found == [[expected]] * 8


def test_a_subclass_may_have_a_context_of_its_own(former):
    class Own(EmailBackend):
        @property
        def ssl_context(self):
            return former.client()

    class Given(EmailBackend):
        pass

    with scripted(TlsServer(former)) as server:
        options = {"alias": "default", "host": "localhost", "port": server.port, "min_warm": 0}
        mail = EmailMessage("Mail", "Body", "alice@example.org", ["bob@example.org"])
        assert Own(use_ssl=True, **options).send_messages([mail]) == 1
        given = Given(use_ssl=True, **options)
        given.ssl_context = former.client()
        assert given.send_messages([mail]) == 1
