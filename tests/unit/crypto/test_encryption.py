from uuid import uuid4

import pytest

from otpmail.crypto import encryption
from otpmail.crypto.encryption import decrypt, encrypt
from otpmail.exceptions import NotHereError

OLD = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
NEW = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="


@pytest.fixture(autouse=True)
def old_key(settings):
    settings.OTPMAIL_KEYS = {"old": OLD}


def test_what_is_sealed_is_not_seen_and_opens():
    delivery_id = uuid4()
    key_id, content = encrypt("a secret text", delivery_id)
    assert key_id == "old"
    assert b"secret" not in content
    assert decrypt(content, key_id, delivery_id) == "a secret text"


def test_key_that_is_no_longer_current_still_opens(settings):
    delivery_id = uuid4()
    key_id, content = encrypt("text", delivery_id)
    settings.OTPMAIL_KEYS = {"new": NEW, "old": OLD}
    assert decrypt(content, key_id, delivery_id) == "text"
    assert encrypt("text", delivery_id)[0] == "new"


def test_revoked_key_opens_nothing(settings):
    delivery_id = uuid4()
    key_id, content = encrypt("text", delivery_id)
    settings.OTPMAIL_KEYS, settings.OTPMAIL_REVOKED_KEYS = {"new": NEW}, ["old"]
    assert decrypt(content, key_id, delivery_id) is None


def test_unknown_key_opens_nothing_here_and_ends_nothing(settings):
    delivery_id = uuid4()
    key_id, content = encrypt("text", delivery_id)
    settings.OTPMAIL_KEYS = {"older": NEW}
    with pytest.raises(NotHereError):
        decrypt(content, key_id, delivery_id)


def test_broken_seal_opens_nothing():
    delivery_id = uuid4()
    key_id, content = encrypt("text", delivery_id)
    for place in range(0, len(content), 7):
        broken = bytearray(content)
        broken[place] ^= 1
        assert decrypt(bytes(broken), key_id, delivery_id) is None


def test_seal_put_under_another_delivery_opens_nothing():
    key_id, content = encrypt("text", uuid4())
    assert decrypt(content, key_id, uuid4()) is None


def test_sealing_key_is_no_key_of_a_purpose():
    key = encryption.keys.current()
    assert key.subkey(encryption.SUBKEY) not in {
        key.secret,
        key.subkey(""),
        key.subkey("stored message"),
    }
