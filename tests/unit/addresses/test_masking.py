import pytest

from otpmail.addresses.masking import mask, mask_addresses


@pytest.mark.parametrize(
    ("address", "shown"),
    [("alice@example.org", "a***@example.org"), ('"a@b"@example.org', '"***@example.org')],
)
def test_address_keeps_first_character_and_domain(address, shown):
    assert mask(address) == shown


def test_addresses_in_a_text_are_masked():
    said = "<alice@example.org>: refused; bob@example.net too"
    assert mask_addresses(said) == "<a***@example.org>: refused; b***@example.net too"


@pytest.mark.parametrize(
    "address", ['"john.doe"@example.org', "user.name@[127.0.0.1]", "patrick.o'brien@example.org"]
)
def test_unusual_address_in_a_text_is_masked(address):
    said = mask_addresses(f"5.1.1 <{address}>: no such user")
    assert said == f"5.1.1 <{mask(address)}>: no such user"
