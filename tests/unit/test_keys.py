import base64

import pytest

from otpmail import keys


def text(byte: int) -> str:
    return base64.urlsafe_b64encode(bytes([byte]) * 32).decode()


def test_first_key_of_the_ring_is_current(settings):
    settings.OTPMAIL_KEYS = {"new": text(1), "old": text(2)}
    assert keys.current().id == "new"
    assert keys.find("old").secret == b"\2" * 32


def test_key_that_left_the_ring_is_not_found(settings):
    settings.OTPMAIL_KEYS = {"new": text(1)}
    assert keys.find("old") is None


@pytest.mark.parametrize("bad", ["", "!!", base64.urlsafe_b64encode(b"x" * 31).decode()])
def test_malformed_key_is_refused_by_its_id_and_not_its_value(settings, bad):
    settings.OTPMAIL_KEYS = {"broken": bad}
    with pytest.raises(ValueError, match="'broken' is not 32 bytes") as refused:
        keys.ring()
    assert not bad or bad not in str(refused.value)


def test_secret_key_rotates_through_its_fallbacks(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "before", []
    before = keys.current()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "after", ["before"]
    assert keys.current() != before
    assert keys.find(before.id) == before


def test_purposes_have_keys_of_their_own():
    key = keys.Key("k", bytes(32))
    assert key.subkey("transfer") != key.subkey("sign-in")


def test_subkey_is_hkdf_of_rfc_5869():
    """Made with openssl kdf HKDF, SHA-256, no salt, info ``otpmail purpose x``."""
    key = keys.Key("k", b"\x0b" * 22)
    golden = "2277e37dcfdd726a5c2b69f062c9f39457d26db371eddcdc2975a92ca383ddb6"
    assert key.subkey("x").hex() == golden


def test_repr_shows_no_secret():
    assert "secret" not in repr(keys.Key("k", b"secret" * 6))
