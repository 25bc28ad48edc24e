from email import message_from_bytes, policy
from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st

from otpmail.wire.content import for_data, in_seven_bits, with_crlf


def test_every_kind_of_line_end_becomes_cr_lf():
    assert with_crlf(b"a\nb\rc\r\nd") == b"a\r\nb\r\nc\r\nd\r\n"


def test_a_message_in_order_is_left_alone():
    content = b"a\r\nb\r\n"
    assert with_crlf(content) is content


@given(st.binary(max_size=100))
def test_line_ends_are_in_order_after_one_pass(content):
    once = with_crlf(content)
    assert with_crlf(once) == once
    assert once.count(b"\r\n") == once.count(b"\n") == once.count(b"\r")


@given(st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b".\r\n"]), max_size=30))
def test_no_content_ends_the_mail_early_and_all_of_it_comes_back(parts):
    content = with_crlf(b"".join(parts))
    stuffed = for_data(content)
    lines = stuffed.split(b"\r\n")
    assert lines.index(b".") == len(lines) - 2
    back = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines[:-2])
    assert (back + b"\r\n" if content else b"") == content


EIGHT_BIT = """\
Subject: =?utf-8?q?caf=C3=A9?=
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit

Votre code pour le café: 123456
""".encode()


def read(content: bytes | None) -> EmailMessage:
    assert content is not None
    assert content.isascii()
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_body_is_re_encoded_in_seven_bits():
    message = read(in_seven_bits(with_crlf(EIGHT_BIT)))
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message["Subject"] == "café"
    assert message.get_content().splitlines() == ["Votre code pour le café: 123456"]


def test_each_part_is_re_encoded_and_the_rest_left_as_it_is():
    long_header = b"X-Long: " + b"word " * 60 + b"end\r\n"
    content = with_crlf(
        long_header
        + b"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\n"
        + EIGHT_BIT
        + b"--b\nContent-Type: text/plain; charset=nonsense\n\n\xff.\n--b--\n"
    )
    encoded = in_seven_bits(content)
    message = read(encoded)
    assert long_header in encoded
    assert b"8bit" not in encoded
    first, second = message.iter_parts()
    assert first.get_content().startswith("Votre code pour le café: 123456")
    assert second.get_payload(decode=True) == b"\xff."


def test_a_header_in_eight_bits_cannot_be_re_encoded():
    assert in_seven_bits("Subject: café\r\n\r\nx\r\n".encode()) is None


def test_what_is_nested_deeper_than_python_goes_has_no_seven_bit_form():
    depth = 3000
    parts = [
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(depth)
    ]
    content = b"".join(parts) + b"Content-Type: text/plain\r\n\r\ncaf\xc3\xa9\r\n"
    assert in_seven_bits(content) is None
