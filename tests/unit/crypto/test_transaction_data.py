import pytest

from otpmail.crypto import transaction_data

TRANSFER = {"amount_minor": 12_50, "currency": "EUR", "payee": "acc-7"}


def test_canonical_bytes_are_golden():
    """What one version wrote, every later version must write for VERSION 1."""
    assert transaction_data.canonical(TRANSFER).hex() == (
        "01"
        "0c616d6f756e745f6d696e6f72" "69" "00000004" "31323530"
        "0863757272656e6379" "73" "00000003" "455552"
        "057061796565" "73" "00000005" "6163632d37"
    )  # fmt: skip


def test_digest_is_golden():
    """Made with openssl dgst -sha256 of the bytes above."""
    golden = "70d6f9a5f1cf5d222fd3609e60bff7e4539344563c6375ec0a5f09638248ee8f"
    assert transaction_data.digest(TRANSFER).hex() == golden


def test_order_of_facts_does_not_matter():
    assert transaction_data.digest(dict(reversed(TRANSFER.items()))) == transaction_data.digest(
        TRANSFER
    )


def test_one_text_in_two_unicode_forms_is_one_fact():
    assert transaction_data.digest({"payee": "Zo\u00eb"}) == transaction_data.digest(
        {"payee": "Zoe\u0308"}
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "1"}, {"a": 1}),
        ({"a": "b", "c": "d"}, {"a": "bc", "c": "d"}),
        ({"a": "bs\0\0\0\1c"}, {"a": "b", "c": ""}),
        ({"a": ""}, {}),
        ({"amount": 1250}, {"amount": -1250}),
    ],
)
def test_different_facts_have_different_digests(one, other):
    assert transaction_data.digest(one) != transaction_data.digest(other)


@pytest.mark.parametrize("value", [12.5, True, None, b"x", ["x"]])
def test_value_with_two_spellings_is_refused(value):
    with pytest.raises(TypeError, match="amount"):
        transaction_data.canonical({"amount": value})


@pytest.mark.parametrize("name", ["", "a" * 256, "betrág"])
def test_name_that_has_no_tag_is_refused(name):
    with pytest.raises(ValueError, match=r"characters|ascii"):
        transaction_data.canonical({name: 1})
