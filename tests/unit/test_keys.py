import base64

import pytest

from otpmail import keys
from tests.keys import Service


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
    assert keys.current().secret != before.secret
    assert keys.find(before.id).secret == before.secret


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


def test_new_key_fits_into_the_ring(settings):
    settings.OTPMAIL_KEYS = {"2026-11": keys.new(), "2026-10": keys.new()}
    new, old = (keys.find(key_id) for key_id in settings.OTPMAIL_KEYS)
    assert len(new.secret) == 32
    assert new.secret != old.secret


@pytest.mark.parametrize("key_id", ["", "a=b", "a,b", "a b", "k" * 51])
def test_id_that_the_environment_could_not_hold_is_refused(settings, key_id):
    settings.OTPMAIL_KEYS = {key_id: text(1)}
    with pytest.raises(ValueError, match="a key's id"):
        keys.ring()


def test_key_of_another_kind_signs_where_it_lies(settings):
    """The value is the service's name for it; another of the same name signs alike."""
    settings.OTPMAIL_KEY_CLASS = "tests.keys.Service"
    settings.OTPMAIL_KEYS = {"hsm-1": "slot 7"}
    key = keys.current()
    assert isinstance(key, Service)
    assert key.sign("transfer", b"x") == Service("other", "slot 7").sign("transfer", b"x")
    assert len(key.subkey("outbox")) == 32
    assert key.subkey("outbox") != key.subkey("transfer")
    assert "slot 7" not in repr(key)
