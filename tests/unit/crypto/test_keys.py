import base64

import pytest

import tests.keys
from otpmail.crypto import keys
from otpmail.exceptions import NotHereError
from tests.keys import Service


class Derives(Service):
    """One that has a way of its own to subkeys, as `keys.Key` does."""

    def subkey(self, purpose):
        return self.sign(purpose, b"mine")


class Grandchild(Derives):
    """Says nothing of either."""


@pytest.fixture
def vault(settings):
    settings.OTPMAIL_KEY_CLASS = "tests.keys.Service"
    settings.OTPMAIL_KEYS = {"hsm-1": "slot 7"}
    tests.keys.asked.clear()
    yield
    tests.keys.away.clear()


@pytest.mark.parametrize("kind", [Service, Derives, Grandchild])
@pytest.mark.parametrize("use", [lambda key: key.sign("p", b"it"), lambda key: key.subkey("p")])
def test_key_service_that_is_away_is_told_by_its_type_alone(vault, kind, use, caplog):
    tests.keys.away.add("p")
    with pytest.raises(NotHereError, match="'k' cannot be used: ConnectionError") as caught:
        use(kind("k", "slot 7"))
    told = str(caught.value) + caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert not any(secret in told for secret in ("slot 7", "b'it'"))


@pytest.mark.parametrize("kind", [Service, Derives, Grandchild])
def test_key_service_is_asked_once_for_a_subkey(vault, kind):
    key = kind("k", "slot 7")
    assert key.subkey("p") == key.subkey("p") != key.subkey("q")
    assert tests.keys.asked == ["p", "q"]


def test_subkey_that_was_not_to_be_had_is_asked_for_again(vault):
    key = Service("k", "slot 7")
    tests.keys.away.add("p")
    with pytest.raises(NotHereError):
        key.subkey("p")
    tests.keys.away.clear()
    assert len(key.subkey("p")) == 32


def text(byte: int) -> str:
    return base64.urlsafe_b64encode(bytes([byte]) * 32).decode()


def test_first_key_of_the_ring_is_current(settings):
    settings.OTPMAIL_KEYS = {"new": text(1), "old": text(2)}
    assert keys.current().id == "new"
    assert keys.find("old").secret == b"\2" * 32


def test_key_that_is_named_as_revoked_is_no_key_any_more(settings):
    settings.OTPMAIL_KEYS = {"new": text(1)}
    settings.OTPMAIL_REVOKED_KEYS = ["old"]
    assert keys.find("old") is None


def test_key_that_is_merely_unknown_is_not_revoked(settings):
    """It is newer than this process's settings, or was taken out of them without a word."""
    settings.OTPMAIL_KEYS = {"new": text(1)}
    with pytest.raises(NotHereError, match="'newer' is not in the ring"):
        keys.find("newer")


def test_revoked_key_signs_nothing_though_it_stands_in_the_ring(settings):
    """A check says so; a server that runs no checks must not use it all the same."""
    settings.OTPMAIL_KEYS = {"stolen": text(1), "good": text(2)}
    settings.OTPMAIL_REVOKED_KEYS = ["stolen"]
    assert keys.current().id == "good"
    assert "stolen" not in keys.readable()
    settings.OTPMAIL_REVOKED_KEYS = ["stolen", "good"]
    with pytest.raises(NotHereError, match="there is no other"):
        keys.current()


def test_first_ring_loses_nothing_that_stands_under_the_secret_key(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "today", ["yesterday"]
    before = list(keys.ring())
    settings.OTPMAIL_KEYS = {"first": text(1)}
    assert keys.current().id == "first"
    assert [keys.find(key_id).id for key_id in before] == before
    settings.OTPMAIL_REVOKED_KEYS = before[:1]
    assert keys.find(before[0]) is None
    assert keys.find(before[1]).id == before[1]


def test_key_that_is_not_here_is_logged_once_a_minute(settings, caplog):
    for _ in range(3):
        for key_id in ("first of all", "second of all"):
            with pytest.raises(NotHereError):
                keys.find(key_id)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


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
