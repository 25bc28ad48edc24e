import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpmail.smtp import commands
from otpmail.smtp.errors import InvalidArgumentError, WireError


def test_mail_carries_only_the_parameters_that_are_given():
    assert commands.mail("a@example.org") == b"MAIL FROM:<a@example.org>\r\n"
    assert (
        commands.mail("a@example.org", size=12, eight_bit=True)
        == b"MAIL FROM:<a@example.org> SIZE=12 BODY=8BITMIME\r\n"
    )
    assert (
        commands.mail("ä@example.org", utf8=True)
        == "MAIL FROM:<ä@example.org> SMTPUTF8\r\n".encode()
    )


def test_the_null_sender_is_allowed_and_an_empty_recipient_is_not():
    assert commands.mail("") == b"MAIL FROM:<>\r\n"
    with pytest.raises(InvalidArgumentError):
        commands.rcpt("")


def test_a_chunk_is_announced_by_its_size():
    assert commands.bdat_last(1234) == b"BDAT 1234 LAST\r\n"


def test_an_initial_response_goes_with_auth_if_the_line_can_hold_it():
    assert commands.auth("PLAIN", b"\0a\0b") == b"AUTH PLAIN AGEAYg==\r\n"
    assert commands.auth("PLAIN", b"") == b"AUTH PLAIN =\r\n"
    assert commands.auth("LOGIN", None) == b"AUTH LOGIN\r\n"
    assert commands.auth("XOAUTH2", b"x" * 500) == b"AUTH XOAUTH2\r\n"


@pytest.mark.parametrize("name", ["", "a b", "a\r\nQUIT", "ä", "a" * 256, "a\0"])
def test_a_greeting_takes_only_a_hosts_name(name):
    for build in (commands.ehlo, commands.helo):
        with pytest.raises(InvalidArgumentError):
            build(name)


def test_an_answer_too_long_for_the_exchange_is_refused():
    with pytest.raises(InvalidArgumentError):
        commands.auth_answer(b"x" * 10_000)


def test_a_mechanism_cannot_carry_a_command():
    with pytest.raises(InvalidArgumentError):
        commands.auth("PLAIN\r\nQUIT", None)


@given(st.text(max_size=80), st.booleans())
def test_no_address_makes_a_second_line_or_a_parameter(address, utf8):
    for build in (commands.mail, commands.rcpt):
        try:
            line = build(address, utf8=utf8)
        except WireError:
            continue
        verb, _, rest = line.partition(b":")
        assert verb in {b"MAIL FROM", b"RCPT TO"}
        assert line.endswith(b"\r\n")
        assert not {13, 10, 0} & set(line[:-2])
        assert rest.removesuffix(b" SMTPUTF8\r\n").removesuffix(b"\r\n").endswith(b">")
        assert utf8 or line.isascii()
