import hmac
import secrets
from collections import Counter
from uuid import UUID

import pytest

from otpmail import binding, codes

FACTS = {
    "challenge_id": UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    "generation": 1,
    "nonce": bytes(range(16)),
    "purpose": "transfer",
    "subject": "alice",
    "binding": binding.digest({"amount_minor": 1250}),
    "digits": 6,
}


def under(key):
    """HMAC-SHA256 under a key."""
    return lambda message: hmac.digest(key, message, "sha256")


KEY = under(bytes(range(32)))


def test_code_is_golden():
    """A code in transit during a deploy is the same for the new version. Made with openssl dgst."""
    assert codes.derive(KEY, **FACTS) == "405660"


@pytest.mark.parametrize(
    "change",
    [
        {"challenge_id": UUID("01890a5d-ac96-774b-bcce-b302099a8058")},
        {"generation": 2},
        {"nonce": bytes(16)},
        {"purpose": "transfe"},
        {"subject": "bob"},
        {"binding": binding.digest({})},
    ],
)
def test_each_fact_changes_the_code(change):
    assert codes.derive(KEY, **(FACTS | change)) != codes.derive(KEY, **FACTS)


def test_key_changes_the_code():
    assert codes.derive(under(bytes(32)), **FACTS) != codes.derive(KEY, **FACTS)


def test_every_digit_stands_at_every_place():
    """Leading noughts and nines too: some systems never make them."""
    made = [codes.derive(KEY, **(FACTS | {"generation": n})) for n in range(1, 2001)]
    for place in range(6):
        assert set(Counter(code[place] for code in made)) == set("0123456789")
    assert all(len(code) == 6 for code in made)


CHI_SQUARE = 50.0
"""With nine degrees of freedom it is passed by chance once in 9 million, so at one of six places in
one run of 1.5 million."""


def test_every_digit_is_as_likely_at_every_place():
    """A chi-square over 200,000 codes of another key each run, leading noughts among them."""
    key = secrets.token_bytes(32)
    made = [codes.derive(under(key), **(FACTS | {"generation": n})) for n in range(200_000)]
    expected = len(made) / 10
    for place in range(6):
        seen = Counter(code[place] for code in made)
        statistic = sum((seen[digit] - expected) ** 2 / expected for digit in "0123456789")
        assert statistic < CHI_SQUARE, (place, statistic, key.hex())


def test_short_nonce_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        codes.derive(KEY, **(FACTS | {"nonce": b"short"}))


@pytest.mark.parametrize(
    "typed",
    [
        "012345",
        " 012 345 ",
        "012-345",
        "0 1 2 3 4 5",
        "012\u2013345",
        "\uff10\uff11\uff12\uff13\uff14\uff15",
        "٠١٢٣٤٥",
        "\u200b012345\n",
        "012\u00a0345",
    ],
)
def test_pasted_code_is_read(typed):
    assert codes.normalise(typed, 6) == "012345"


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "12345a", "l23456", "1234.5", "½12345", "1" * 1_000_000]
)
def test_text_that_is_no_code_is_refused(typed):
    assert codes.normalise(typed, 6) is None


def test_compare_takes_only_equals():
    assert codes.compare("012345", "012345")
    assert not codes.compare("012345", "012346")
    assert not codes.compare("012345", "12345")
