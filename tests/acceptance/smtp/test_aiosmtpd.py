"""The wire against aiosmtpd: a server that offers neither pipelining nor chunking."""

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from otpmail.smtp.auth import Credentials
from otpmail.smtp.client import deliver
from otpmail.smtp.errors import RefusedError, TooLargeError
from otpmail.smtp.handshake import Security, open_session
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.modes import Mode
from tests.acceptance.smtp.postfix import Place
from tests.mailings import a_mail, a_pool, a_session, at, in_seconds, send
from tests.mailserver import ClosingController, free_port


class Inbox:
    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data) -> AuthResult:
    right = (data.login, data.password) == (b"tim", b"tanstaaf")
    return AuthResult(success=right, handled=False)


def serve(**options):
    inbox = Inbox()
    port = free_port()
    controller = ClosingController(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    return controller, inbox, Place("localhost", port)


@pytest.fixture
def server():
    controller, inbox, place = serve(data_size_limit=1000, enable_SMTPUTF8=True)
    yield inbox, place
    controller.stop()


def test_mails_arrive_step_by_step(server):
    inbox, place = server
    with a_pool(place) as pool:
        ends = deliver(pool, [a_mail(number, body=".") for number in range(5)], window=4)
    assert all(isinstance(end, Sent) for end in ends)
    assert len(inbox.envelopes) == 5
    assert inbox.envelopes[0].rcpt_tos == ["bob@example.org"]
    assert inbox.envelopes[0].content.endswith(b"\r\n\r\n.\r\n")


def test_its_size_limit_is_respected(server):
    _, place = server
    with a_session(place) as session:
        assert session.mode is Mode.STEPWISE
        with pytest.raises(TooLargeError):
            send(session, a_mail(body="x" * 1000), deadline=in_seconds())
        assert send(session, a_mail(), deadline=in_seconds())


def test_an_address_that_is_not_ascii_arrives(server):
    inbox, place = server
    mail = Mail(sender="ä@example.org", recipients=("ö@example.org",), content=b"x", utf8=True)
    with a_session(place) as session:
        assert send(session, mail, deadline=in_seconds())
    assert inbox.envelopes[0].rcpt_tos == ["ö@example.org"]


@pytest.mark.parametrize("excluded", [[], ["PLAIN"]])
def test_it_is_signed_in_to_under_starttls(localhost_certificate, excluded):
    controller, inbox, place = serve(
        tls_context=localhost_certificate.server(),
        authenticator=authenticate,
        auth_required=True,
        auth_exclude_mechanism=excluded,
    )

    def open_with(password: str):
        here = at(
            place,
            security=Security.STARTTLS,
            context=localhost_certificate.client(),
            credentials=Credentials(username="tim", password=password),
        )
        return open_session(here, in_seconds())

    try:
        session = open_with("tanstaaf")
        assert send(session, a_mail(), deadline=in_seconds())
        session.quit(in_seconds())
        with pytest.raises(RefusedError):
            open_with("wrong")
    finally:
        controller.stop()
    assert len(inbox.envelopes) == 1
