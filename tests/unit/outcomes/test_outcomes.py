import base64
import re
import smtplib
import socket
import ssl
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpmail.display.redaction import redact
from otpmail.outcomes import Blame, Kind, of_error, of_reply, words


def refused(code: int) -> smtplib.SMTPRecipientsRefused:
    return smtplib.SMTPRecipientsRefused({"alice@example.org": (code, b"5.1.1 no alice here")})


@pytest.mark.parametrize(
    ("error", "kind", "blame"),
    [
        (refused(550), Kind.PERMANENT, Blame.MAIL),
        (refused(450), Kind.TRANSIENT, Blame.MAIL),
        (smtplib.SMTPDataError(554, b"spam"), Kind.PERMANENT, Blame.MAIL),
        (smtplib.SMTPDataError(451, b"later"), Kind.TRANSIENT, Blame.MAIL),
        (smtplib.SMTPDataError(451, b"4.7.1 greylisted"), Kind.TRANSIENT, Blame.MAIL),
        (smtplib.SMTPDataError(451, b"4.3.2 down"), Kind.TRANSIENT, Blame.ROUTE),
        (smtplib.SMTPDataError(421, b"closing"), Kind.TRANSIENT, Blame.ROUTE),
        (smtplib.SMTPDataError(554, b"4.3.2 of no sense"), Kind.PERMANENT, Blame.MAIL),
        (smtplib.SMTPSenderRefused(550, b"who?", "k@example.org"), Kind.PERMANENT, Blame.ROUTE),
        (smtplib.SMTPSenderRefused(452, b"full", "k@example.org"), Kind.TRANSIENT, Blame.ROUTE),
        (
            smtplib.SMTPSenderRefused(552, b"5.3.4 big", "k@example.org"),
            Kind.PERMANENT,
            Blame.CAPABILITY,
        ),
        (smtplib.SMTPSenderRefused(552, b"big", "k@example.org"), Kind.PERMANENT, Blame.CAPABILITY),
        (smtplib.SMTPDataError(552, b"5.3.4 big"), Kind.PERMANENT, Blame.CAPABILITY),
        (smtplib.SMTPDataError(552, b"5.2.2 mailbox full"), Kind.PERMANENT, Blame.MAIL),
        (smtplib.SMTPDataError(554, b"5.6.3 needs 8BITMIME"), Kind.PERMANENT, Blame.CAPABILITY),
        (smtplib.SMTPDataError(554, b"5.6.0 bad content"), Kind.PERMANENT, Blame.MAIL),
        (smtplib.SMTPNotSupportedError("SMTPUTF8 not supported"), Kind.PERMANENT, Blame.CAPABILITY),
        (smtplib.SMTPAuthenticationError(535, b"no"), Kind.PERMANENT, Blame.ROUTE),
        (smtplib.SMTPAuthenticationError(454, b"later"), Kind.TRANSIENT, Blame.ROUTE),
        (smtplib.SMTPConnectError(421, b"busy"), Kind.TRANSIENT, Blame.ROUTE),
        (smtplib.SMTPHeloError(-1, b"?"), Kind.TRANSIENT, Blame.ROUTE),
        (smtplib.SMTPNotSupportedError("no STARTTLS"), Kind.PERMANENT, Blame.ROUTE),
        (smtplib.SMTPServerDisconnected("gone"), Kind.UNKNOWN, Blame.ROUTE),
        (TimeoutError("timed out"), Kind.UNKNOWN, Blame.ROUTE),
        (ConnectionResetError(104, "reset"), Kind.UNKNOWN, Blame.ROUTE),
        (ValueError("Invalid address"), Kind.PERMANENT, Blame.MAIL),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), Kind.PERMANENT, Blame.MAIL),
        (RuntimeError("?"), Kind.TRANSIENT, Blame.ROUTE),
    ],
    ids=repr,
)
def test_error_while_sending_is_read(error, kind, blame):
    outcome = of_error(error, sending=True)
    assert (outcome.kind, outcome.blame) == (kind, blame)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError("timed out"),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLCertVerificationError("wrong host"),
        smtplib.SMTPServerDisconnected("gone"),
    ],
    ids=repr,
)
def test_connection_that_never_stood_took_nothing(error):
    assert of_error(error, sending=False).kind is Kind.TRANSIENT


@pytest.mark.parametrize(
    ("code", "kind"),
    [(250, Kind.ACCEPTED), (450, Kind.TRANSIENT), (550, Kind.PERMANENT), (0, Kind.TRANSIENT)],
)
def test_reply_is_read_by_its_first_digit(code, kind):
    assert of_reply(code, b"text").kind is kind


def test_words_are_one_masked_line():
    told = words("550 no\r\n\x1b[31m <alice@example.org>\u202e here")
    assert told == "550 no [31m <a***@example.org>  here"


def test_words_of_a_megabyte_are_cut_at_once():
    assert 900 < len(words("x" * 1_000_000)) <= 1000


@given(st.text(string.digits, min_size=4, max_size=10), st.integers(-30, 30))
@settings(max_examples=30)
def test_no_code_is_cut_in_two(code, shift):
    for written in (code, " ".join(code), base64.b64encode(b"..." + code.encode()).decode()):
        said = words(f"{'x' * 800} {'y' * (199 + shift)} {written} {'and so on. ' * 100}")
        assert code not in redact(said, [code])
        assert not re.search(r"\d", redact(said, [code]))


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPDataError(250, b"ok"),
        smtplib.SMTPConnectError(250, b"hello"),
        smtplib.SMTPAuthenticationError(250, b"ok"),
        smtplib.SMTPSenderRefused(251, b"ok", "k@example.org"),
        smtplib.SMTPRecipientsRefused({"a@example.org": (252, b"cannot verify, will try")}),
        smtplib.SMTPDataError(-1, b"garbage"),
    ],
    ids=repr,
)
def test_what_smtplib_raises_was_never_accepted(error):
    """It raises at 250 to DATA and 252 to RCPT too, and says -1 for a reply without a code."""
    outcome = of_error(error, sending=True)
    assert outcome.kind is Kind.TRANSIENT
    assert outcome.code is None or outcome.code > 0


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("local", ["christina.müller", "müller", "zoë.miller"])
def test_no_letter_of_an_address_stays_because_it_is_not_ascii(encoding, local):
    told = words(f"550 5.1.1 <{local}@example.org> {local}%40example.org".encode(encoding))
    assert told.isascii()
    assert "ller" not in told
    assert told.count("***") == 2
