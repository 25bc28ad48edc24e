import base64
import binascii
import contextlib
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpmail.smtp.content import NotInSevenBitsError, for_data, in_seven_bits, with_crlf


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


def read(content: bytes) -> EmailMessage:
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


@pytest.mark.parametrize(
    "written",
    [
        "8bit (as it is)", "(as it is) 8bit", "8bit; x=y", " 8BIT ;", "8bit(x)", "\t8bit\t",
        "binary (a)(b)", "(nothing)", "\r\n 8bit\r\n (folded)",
    ],
)  # fmt: skip
def test_encoding_is_the_headers_first_word(written):
    headers = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    message = read(in_seven_bits(f"{headers}{written}\r\n\r\ncafé\r\n".encode()))
    assert message.get_all("Content-Transfer-Encoding") == ["quoted-printable"]
    assert message.get_content().strip() == "café"


REFUSED = {
    "a header": ("Subject: café\r\n\r\nx\r\n", "headers are not in ASCII"),
    "a part's header": (
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        'Content-Disposition: attachment; filename="Größe.pdf"\r\n\r\nx\r\n--b--\r\n',
        "headers are not in ASCII",
    ),
    "no headers at all": ("café: no\r\ncafé\r\n\r\nx\r\n", "headers are not in ASCII"),
    "headers that are none": ("words\r\n\r\ncafé\r\n", "headers are not in order"),
    "a signed part": (
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ncafé\r\n--b--\r\n",
        "signed may not be changed",
    ),
    "no boundary": ("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\ncafé\r\n", "told apart"),
    "no parts": ("Content-Type: multipart/mixed; boundary=b\r\n\r\ncafé\r\n", "told apart"),
    "a piece of a mail": ("Content-Type: message/partial\r\n\r\ncafé\r\n", "may not be encoded"),
    "a boundary in no text": (
        f"Content-Type: multipart/mixed; boundary*=idna''{'a' * 100}\r\n\r\n--b\r\n\r\ncafé\r\n",
        "told apart",
    ),
    "a boundary in an encoding that is none": (
        "Content-Type: multipart/mixed; boundary*=a\0b''b\r\n\r\n--b\r\n\r\ncafé\r\n",
        "told apart",
    ),
    "an unknown encoding with a comment": (
        "Content-Transfer-Encoding: x-uuencode (8bit)\r\n\r\ncafé\r\n",
        "encoding that is not known",
    ),
    "an unknown encoding": (
        "Content-Transfer-Encoding: x-uuencode\r\n\r\ncafé\r\n",
        "encoding that is not known",
    ),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_re_encoded_is_refused_with_its_reason(content, why):
    with pytest.raises(NotInSevenBitsError, match=why):
        in_seven_bits(content.encode())


def test_what_is_nested_deeper_than_python_goes_is_refused():
    depth = 3000
    parts = [
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(depth)
    ]
    content = b"".join(parts) + b"Content-Type: text/plain\r\n\r\ncaf\xc3\xa9\r\n"
    with pytest.raises(NotInSevenBitsError, match="too deep"):
        in_seven_bits(content)


# What a part says, before and after

ENCODINGS = {
    "": lambda content: content,
    "8bit": lambda content: content,
    "binary": lambda content: content,
    "base64": base64.encodebytes,
    "Base64": lambda content: base64.encodebytes(content) + b"\xfe",  # no letter of its alphabet
    "quoted-printable": lambda content: binascii.b2a_qp(content, istext=False),
    "Quoted-Printable": lambda content: binascii.b2a_qp(content, istext=False) + b"\xe9",
}
KINDS = (
    "text/plain; charset=utf-8",
    "text/plain; charset=utf-8; format=flowed; delsp=yes",
    "text/html; charset=utf-16",
    "text/plain; charset=nonsense",
    "application/pdf",
    "image/png",
    "application/pkcs7-mime",
    "nonsense",
)
octets = st.binary(max_size=80) | st.sampled_from(
    [
        bytes(range(256)),
        b"caf\xe9 " * 300,  # a line of more than 998
        b"caf\xe9 \t\r\n.\r\nFrom me \r\n-- \r\n--b0\r\n\r\n",
        b"a\nb\rc\x00\xff",
        b"%PDF-1.4\n\xff\xfe\r\n\r",
    ]
)


@st.composite
def leaves(draw) -> bytes:
    encoding, kind = draw(st.sampled_from([*ENCODINGS])), draw(st.sampled_from(KINDS))
    content = ENCODINGS[encoding](draw(octets))
    field = b"CONTENT-transfer-encoding:%b\n" % encoding.encode() if encoding else b""
    return b"Content-Type: %b\n%bX-Own:no space\n\n" % (kind.encode(), field) + content


@st.composite
def containers(draw, inner) -> bytes:
    kind = draw(st.sampled_from(["mixed", "alternative", "related", "digest", "signed", "rfc822"]))
    parts = draw(st.lists(inner, min_size=1, max_size=3))
    if kind == "rfc822":
        return b"Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n" + parts[0]
    if kind == "signed":
        parts = [part for part in parts if part.isascii()]
    boundary = draw(st.sampled_from([b"b%d", b"a+(b)? c:%d"])) % sum(map(len, parts))
    eighth = b"" if kind == "signed" else draw(st.sampled_from([b"", b"caf\xe9\n"]))
    head = b'Content-Type: multipart/%b; boundary="%b"\n\n' % (kind.encode(), boundary)
    between = [b"\n--%b%b\n" % (boundary, draw(st.sampled_from([b"", b" "]))) + p for p in parts]
    after = draw(st.sampled_from([b"", b"\n", b"\n%b\n--%b\n" % (eighth, boundary)]))
    return head + eighth + b"".join(between) + b"\n--%b--" % boundary + after


messages = st.recursive(leaves(), containers, max_leaves=6).map(
    lambda part: with_crlf(b"Subject: x\nMIME-Version: 1.0\n" + part)
)


def leaves_of(content: bytes) -> list[tuple[str, bytes]]:
    """What a reader sees: each leaf's type and decoded octets."""
    return [
        (part.get_content_type(), part.get_payload(decode=True))
        for part in message_from_bytes(content, policy=policy.default).walk()
        if not part.is_multipart()
    ]


@given(messages)
def test_what_each_part_says_is_the_same_in_seven_bits(content):
    encoded = in_seven_bits(content)
    assert encoded.isascii()
    assert encoded.endswith(b"\r\n")
    assert leaves_of(encoded) == leaves_of(content)


def test_last_part_needs_no_end():
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + with_crlf(EIGHT_BIT)
    assert leaves_of(in_seven_bits(content)) == leaves_of(content)


@given(messages)
def test_a_part_in_seven_bits_keeps_every_octet(content):
    inner = content if content.isascii() else in_seven_bits(content)
    signed = b"Content-Type:multipart/signed; boundary=own\r\n\r\n--own\r\n" + inner
    cafe = with_crlf(EIGHT_BIT)
    mixed = b"Content-Type: multipart/mixed; boundary=outermost\r\n\r\n"
    whole = mixed + b"".join(b"--outermost\r\n" + p for p in (signed, cafe, signed))
    assert in_seven_bits(whole).count(signed) == 2


@given(messages, st.data())
def test_whatever_comes_is_re_encoded_or_refused(content, data):
    at = data.draw(st.integers(0, len(content)))
    broken = with_crlf(content[:at] + data.draw(st.binary(max_size=5)) + content[at:])
    with contextlib.suppress(NotInSevenBitsError):
        assert in_seven_bits(broken).isascii()
