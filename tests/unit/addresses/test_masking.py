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


@pytest.mark.parametrize(
    "at", ["%40", "=40", "\\x40", "\\u0040", "&#64;", "&#x40;", "&#064;", "\uff20", "&commat;"]
)
def test_address_whose_at_is_encoded_is_masked(at):
    said = mask_addresses(f"see https://help.example/?p=christina.miller{at}mail.example.org.")
    assert "miller" not in said
    assert said.endswith(f"***{at}mail.example.org.")


@pytest.mark.parametrize("said", ["SIZE=4096", "q=40", "id 40 %40 =40abc", "100%402 no.such.user"])
def test_what_is_no_address_stays(said):
    assert mask_addresses(said) == said


@pytest.mark.parametrize(
    "local",
    ["christina.m\u00fcller", "christina.m\ufffd\ufffdller", "christina.m&#252;ller", "李小龙"],
)
def test_letter_that_is_not_ascii_ends_no_address(local):
    assert mask_addresses(f"<{local}@example.org>") == f"<{local[0]}***@example.org>"
