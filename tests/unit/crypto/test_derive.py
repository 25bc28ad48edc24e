import hmac
import re
import secrets
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpmail.crypto import derive, transaction_data

FACTS = {
    "challenge_id": UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    "generation": 1,
    "nonce": bytes(range(16)),
    "purpose": "transfer",
    "owner": "alice",
    "binding": transaction_data.digest({"amount_minor": 1250}),
    "digits": 6,
}


def under(key):
    """HMAC-SHA256 under a key."""
    return lambda message: hmac.digest(key, message, "sha256")


KEY = under(bytes(range(32)))


def test_code_is_golden():
    """A code in transit during a deploy is the same for the new version. Made with openssl dgst."""
    assert derive.derive(KEY, **FACTS) == "405660"


@pytest.mark.parametrize(
    "change",
    [
        {"challenge_id": UUID("01890a5d-ac96-774b-bcce-b302099a8058")},
        {"generation": 2},
        {"nonce": bytes(16)},
        {"purpose": "transfe"},
        {"owner": "bob"},
        {"binding": transaction_data.digest({})},
    ],
)
def test_each_fact_changes_the_code(change):
    assert derive.derive(KEY, **(FACTS | change)) != derive.derive(KEY, **FACTS)


def test_key_changes_the_code():
    assert derive.derive(under(bytes(32)), **FACTS) != derive.derive(KEY, **FACTS)


def test_every_digit_stands_at_every_place():
    """Leading noughts and nines too: some systems never make them."""
    made = [derive.derive(KEY, **(FACTS | {"generation": n})) for n in range(1, 2001)]
    for place in range(6):
        assert set(Counter(code[place] for code in made)) == set("0123456789")
    assert all(len(code) == 6 for code in made)


CHI_SQUARE = 50.0
"""With nine degrees of freedom it is passed by chance once in 9 million, so at one of six places in
one run of 1.5 million."""


def test_every_digit_is_as_likely_at_every_place():
    """A chi-square over 200,000 codes of another key each run, leading noughts among them."""
    key = secrets.token_bytes(32)
    made = [derive.derive(under(key), **(FACTS | {"generation": n})) for n in range(200_000)]
    expected = len(made) / 10
    for place in range(6):
        seen = Counter(code[place] for code in made)
        statistic = sum((seen[digit] - expected) ** 2 / expected for digit in "0123456789")
        assert statistic < CHI_SQUARE, (place, statistic, key.hex())


def test_short_nonce_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        derive.derive(KEY, **(FACTS | {"nonce": b"short"}))


CONTROLS = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"
"""Of them, those that str.isspace() takes for spaces."""
BETWEEN = st.text(
    st.characters(
        categories=["Zs", "Zl", "Zp", "Pd", "Cf"],
        include_characters=CONTROLS + "".join(derive.DASHES),
    ),
    max_size=3,
)
WORDS = st.text(st.characters(exclude_categories=["Nd", "No", "Nl", "Cs"]), max_size=40)
SIX_DIGITS = st.from_regex(r"[0-9]{6}", fullmatch=True)


@pytest.mark.parametrize(
    "typed",
    [
        "012345",
        " 012 345 ",
        "012-345",
        "0 1 2 3 4 5",
        "0\n1\n2\n3\n4\n5\n",
        "012\u2013345",
        "\uff10\uff11\uff12\uff13\uff14\uff15",
        "٠١٢٣٤٥",
        "\U0001d7ce\U0001d7cf\U0001d7d0\U0001d7d1\U0001d7d2\U0001d7d3",
        "0\ufe0f\u20e31\ufe0f\u20e32\ufe0f\u20e33\ufe0f\u20e34\ufe0f\u20e35\ufe0f\u20e3",
        "\u200b012345\n",
        "\u2066012\u200b345\u2069",
        "012\u00a0345",
        "012\u2212345",
        "012\u00ad345",
        "012 345.",
        "*012345*",
        "«012345»",
        '"012345"',
        "(012-345)",
        "012345,",
        "Code: 012345",
        "code=012345",
        "Your code is 012345. It is good for 10 minutes, until 14:05 CET.",
        "012345 is your code.",
        "012345 is your code.\n\nAmount: 12.50 EUR\nTo: Bob\n\nReference: BCDFGH",
        "012345\n10 minutes",
        "10 minutes\n012 345",
        "@bank.example #012345",
        "G-012345",
        "012345 012345",
        "012345\n012345\n",
        "012345 and 012345",
        "012 345 is your code.\n\nType 012-345 within 10 minutes.",
    ],
)
def test_pasted_code_is_read(typed):
    assert derive.normalise(typed, 6) == "012345"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "-",
        "12345",
        "1234567",
        "123 4567",
        "123456 7",
        "12345a",
        "l23456",
        "1234.5",
        "123.456",
        "½12345",
        "12345½",
        "no code",
        "123456 654321",
        "123456 654321 123456",
        "123456 123456 7",
        "123456123456",
        "123456 or 654321",
        "123456 is your code.\n\nTo: Bob (10-0002)",
        "123 456 789 012",
        "Call 123 456 789 012",
        "Your code is 1234567.",
        "1" * 1_000_000,
        "1 " * 400,
        "code " * 300 + "123456",
    ],
)
def test_text_that_is_no_code_is_refused(typed):
    assert derive.normalise(typed, 6) is None


@given(SIX_DIGITS, st.lists(BETWEEN, min_size=7, max_size=7), WORDS, WORDS)
def test_code_is_read_whatever_stands_between_and_around_its_digits(code, between, before, after):
    spread = "".join(map("".join, zip(between, code + " ", strict=True)))
    assert derive.normalise(f"{before}{spread}{after}", 6) == code


@given(SIX_DIGITS, SIX_DIGITS, WORDS, WORDS, WORDS)
def test_of_two_codes_none_is_chosen(one, other, before, between, after):
    expected = one if one == other else None
    assert derive.normalise(f"{before}{one} {between} {other}{after}", 6) == expected


@given(st.text(max_size=60), st.integers(4, 10))
def test_what_is_read_has_so_many_digits_and_is_read_again(typed, digits):
    read = derive.normalise(typed, digits)
    if read is not None:
        assert re.fullmatch(f"[0-9]{{{digits}}}", read)
        assert derive.normalise(read, digits) == read


def test_compare_takes_only_equals():
    assert derive.compare("012345", "012345")
    assert not derive.compare("012345", "012346")
    assert not derive.compare("012345", "12345")
