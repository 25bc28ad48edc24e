import pytest

from otpmail.smtp.errors import InvalidArgumentError, TooLargeError, UnsupportedError
from otpmail.smtp.mails import Mail, prepare
from otpmail.smtp.modes import Mode
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Features

PLAIN = Mail(sender="a@example.org", recipients=("b@example.org",), content=b"Subject: x\n\nhi")
CAFE = Mail(
    sender="a@example.org",
    recipients=("b@example.org",),
    content="Content-Type: text/plain; charset=utf-8\n\ncafé".encode(),
)


def offers(*lines: bytes) -> Features:
    return Features.read(Reply(250, (b"mx.example.org", *lines)))


def test_a_plain_mail_needs_nothing():
    prepared = prepare(PLAIN, offers())
    assert prepared.begin == b"MAIL FROM:<a@example.org>\r\n"
    assert prepared.recipients == (b"RCPT TO:<b@example.org>\r\n",)
    assert prepared.content == b"Subject: x\r\n\r\nhi\r\n"


def test_the_size_is_announced_where_the_server_asks_for_it():
    assert prepare(PLAIN, offers(b"SIZE")).begin.endswith(b" SIZE=18\r\n")


def test_a_mail_too_large_for_the_server_is_not_begun():
    assert prepare(PLAIN, offers(b"SIZE 18"))
    assert prepare(PLAIN, offers(b"SIZE 0"))
    with pytest.raises(TooLargeError):
        prepare(PLAIN, offers(b"SIZE 17"))


def test_eight_bits_go_as_they_are_where_the_server_takes_them():
    prepared = prepare(CAFE, offers(b"8BITMIME"))
    assert prepared.begin.endswith(b" BODY=8BITMIME\r\n")
    assert "café".encode() in prepared.content


def test_eight_bits_are_re_encoded_where_it_does_not():
    prepared = prepare(CAFE, offers())
    assert b"BODY" not in prepared.begin
    assert prepared.content.isascii()


def test_a_mail_that_needs_smtputf8_is_not_begun_without_it():
    mail = Mail(sender="ä@example.org", recipients=("b@example.org",), content=b"", utf8=True)
    assert b" SMTPUTF8" in prepare(mail, offers(b"SMTPUTF8")).begin
    with pytest.raises(UnsupportedError):
        prepare(mail, offers())


def test_a_mail_without_recipients_is_refused():
    with pytest.raises(InvalidArgumentError):
        prepare(Mail(sender="a@example.org", recipients=(), content=b""), offers())


def test_features_are_read_in_any_case_and_nonsense_is_passed_over():
    features = offers(b"pipelining", b"Size 35882577", b"AUTH PLAIN", b"AUTH=LOGIN", b"?!", b"")
    assert "PIPELINING" in features
    assert features.max_size == 35882577
    assert features.mechanisms == {"PLAIN", "LOGIN"}


@pytest.mark.parametrize("size", [b"SIZE", b"SIZE 0", b"SIZE x", b"SIZE -1", "SIZE ²".encode()])
def test_a_size_without_a_number_is_no_limit(size):
    assert offers(size).max_size is None


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        ((), Mode.STEPWISE),
        ((b"CHUNKING",), Mode.STEPWISE),
        ((b"PIPELINING",), Mode.PIPELINED),
        ((b"PIPELINING", b"CHUNKING"), Mode.CHUNKED),
    ],
)
def test_the_best_way_is_what_the_server_offers(lines, mode):
    assert offers(*lines).best_mode is mode


def test_no_body_shows():
    assert "hi" not in repr(PLAIN)
    assert "hi" not in repr(prepare(PLAIN, offers()))
