"""No code is left in a foreign text, however it is written there."""

import base64
import quopri
import re
import string
import time
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.core.mail import EmailMessage
from hypothesis import given
from hypothesis import strategies as st

from otpmail.crypto import cancel_link
from otpmail.display.redaction import keep_secret, of_mail, redact

CODES = st.text(string.digits, min_size=4, max_size=10)
BETWEEN = ["", " ", "-", ".", "_", "/", "\u200b", "\u2011", "\u00a0", "\ufe0f\u20e3", " - ", "\r\n"]
HTML = [
    "&nbsp;",
    "&#8203;",
    "&#x2011;",
    "<b></b>",
    "</td>\n<td>",
    "=\r\n",
    "%20",
    "=20",
    "%E2%80%8B",
    "\\r\\n",
    "\\xe2\\x80\\x8b",
]
DIGITS = {
    "full-width": lambda digit: chr(0xFF10 + int(digit)),
    "Arabic": lambda digit: chr(0x660 + int(digit)),
    "in a circle": lambda digit: "\u24ea\u2460\u2461\u2462\u2463\u2464\u2465\u2466\u2467\u2468"[
        int(digit)
    ],
    "decimal entity": lambda digit: f"&#{ord(digit)};",
    "hex entity": lambda digit: f"&#x{ord(digit):x};",
    "percent": lambda digit: f"%{ord(digit):x}",
    "full-width percent": lambda digit: quote(chr(0xFF10 + int(digit))),
    "quoted-printable": lambda digit: f"={ord(digit):X}",
    "bytes": lambda digit: f"\\x{ord(digit):x}",
    "escape": lambda digit: f"\\u{ord(digit):04x}",
    "octal": lambda digit: f"\\{ord(digit):03o}",
    "entity, escaped again": lambda digit: f"&amp;#{ord(digit)};",
    "entity, escaped twice": lambda digit: f"&amp;amp;#x{ord(digit):x};",
    "percent, encoded again": lambda digit: f"%25{ord(digit):x}",
}


@given(CODES, st.sampled_from(BETWEEN + HTML))
def test_known_code_goes_whatever_stands_between_its_digits(code, between):
    said = redact(f"550 5.7.1 spam: {between.join(code)} (quoted)", [code])
    left = said.removeprefix("550 5.7.1 spam: ").removesuffix(" (quoted)")
    for separator in (between, "<b>", "</b>"):
        left = left.replace(separator, "") if separator else left
    assert not set(left) & set(string.digits), said
    assert said.startswith("550 5.7.1 spam: ")


@given(CODES, st.lists(st.sampled_from(BETWEEN), min_size=10, max_size=10))
def test_known_code_goes_in_uneven_groups(code, between):
    spaced = "".join(a + b for a, b in zip(code, between, strict=False))
    said = redact(f"code {spaced}.", [code])
    assert not set(said) & set(string.digits), said


@pytest.mark.parametrize("name", DIGITS)
@given(code=CODES)
def test_code_goes_in_other_digits(name, code):
    written = "".join(map(DIGITS[name], code))
    for known in ([code], []):
        assert redact(f"<<{written}>>", known) == f"<<{'*' * len(written)}>>"


@given(CODES, st.text("0123456789", max_size=6), st.text("0123456789", max_size=6))
def test_code_goes_inside_a_longer_number(code, before, after):
    said = redact(f"id {before}{code}{after}", [code])
    assert code not in said


@given(st.text(max_size=30), CODES, st.text(max_size=30))
def test_each_run_that_may_be_a_code_goes(before, code, after):
    said = redact(f"{before}{code}{after}")
    assert code not in said


@given(st.text(max_size=60), st.lists(CODES, max_size=3))
def test_what_is_left_has_nothing_more_to_redact_and_is_as_long(text, codes):
    said = redact(text, codes)
    assert len(said) == len(text)
    assert redact(said, codes) == said


@given(
    st.binary(min_size=3, max_size=9),
    CODES,
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
)
def test_code_goes_in_base64(before, code, encode):
    word = encode(before + b" " + code.encode() + b" is your code.").decode()
    assert redact(f"quoted: {word}", [code]) == f"quoted: {'*' * len(word)}"
    assert redact(f"quoted: {word[2:]}", [code]) == f"quoted: {'*' * len(word[2:])}"


LINE_ENDS = ["\n", "\r\n", " ", "\\r\\n", "\\n"]


@given(st.binary(min_size=6, max_size=40), CODES, st.sampled_from(LINE_ENDS), st.data())
def test_code_goes_in_base64_where_a_line_ends_inside_it(before, code, line_end, data):
    """RFC 2045, 6.8: lines end wherever they are full; what cleans a reply makes each a space."""
    word = base64.b64encode(before + b" " + code.encode() + b" is your code.").decode()
    at = data.draw(st.integers(8, len(word) - 3))
    said = redact(f"quoted: {word[:at]}{line_end}{word[at:]}", [code])
    assert not re.search(r"\w", said.removeprefix("quoted: ")), said


@pytest.mark.parametrize("between", [":", " ", "-", ", ", " 0x", "\n"])
@given(code=CODES)
def test_code_goes_in_a_dump_of_its_octets(between, code):
    dump = between.join(f"{ord(digit):x}" for digit in code)
    assert redact(f"got 0a:{dump} here", [code]) == f"got 0a:{'*' * len(dump)} here"


def test_mail_in_quoted_printable_is_redacted():
    mail = quopri.encodestring("Zoë: 123456 ist Ihr Code für 12,50 €".encode()).decode()
    assert "123456" not in redact(mail)


@pytest.mark.parametrize(
    "said",
    [
        "550 5.7.1 no such user here",
        "421 4.7.0 try again later",
        "550-5.7.26 unauthenticated\n550 5.7.515 see https://support.example/a?x=12",
        "refused by 192.0.2.1 on port 587",
        "Ok: queued as 4ZX1ab2Cd3ef",
        "recipient address rejected: Undeliverable Mailboxname unavailable",
        "on 31:12 or at 30:31:32 from 33-34",
    ],
)
def test_status_codes_and_what_is_too_short_stay(said):
    assert redact(said, ["482913"]) == said


def test_token_of_a_cancel_link_goes(settings):
    settings.OTPMAIL_BASE_URL = "https://bank.example"
    link = cancel_link.cancel_url(uuid4())
    said = redact(f"spam: Cancel it: {link} (quoted)")
    assert link[-60:] not in said
    assert "spam: Cancel it: https://bank.example/" in said
    wrapped = link[:60] + "=\n" + link[60:]
    assert link[-20:] not in redact(wrapped)


def test_of_a_mails_own_words_those_with_a_digit_go():
    mail = EmailMessage("Hello", "hello, your key is token-7b2")
    said = of_mail("refused: token-7b2 and hello and x9y8", mail)
    assert said == "refused: ********* and hello and x9y8"


def test_of_a_mail_what_it_keeps_secret_goes():
    mail = EmailMessage("Hello", "hello")
    keep_secret(mail, ["482913"])
    assert of_mail("not sent: 4 8 2-913", mail) == "not sent: * * *-***"


@pytest.mark.alone
@pytest.mark.parametrize(
    "text", ["a", "0", "12 ", "QUJDREVGR0g= ", "aaaa-", "%31", "&#49;", "<", "=\n", "a="]
)
def test_time_grows_as_the_text_does(text):
    """Eight times the text may take three times eight: what tries all pairs takes 64."""
    few, many = (seconds(text * (length // len(text))) for length in (4_000, 32_000))
    assert many < 24 * max(few, 0.0005)


def seconds(text):
    """Give the least of some tries, of processor time."""
    took = []
    for _ in range(3):
        began = time.process_time()
        redact(text, ["123456"])
        took.append(time.process_time() - began)
    return min(took)
