"""The key ring: which key derives a code, and which key derived that one.

In: ``OTPMAIL_KEYS``, or Django's ``SECRET_KEY`` and its fall-backs. Out: keys by id, MACs, subkeys.
Knows nothing of: codes, rows.

A row keeps the id of its key, so no key is ever tried in vain. What stands under a key that
``OTPMAIL_REVOKED_KEYS`` names ends. A key that is merely unknown here, or whose key service is
away, ends nothing: `NotHereError` says that another process may know it, or this one later.

``OTPMAIL_KEY_CLASS`` says what a key is: 32 bytes in this process (`Key`), or a name under which a
key service signs (another `SigningKey`).
"""

import base64
import binascii
import hmac
import logging
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, wraps
from types import MappingProxyType
from typing import Any, cast

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from otpmail.conf import settings
from otpmail.exceptions import NotHereError
from otpmail.exceptions.foreign import OncePerMinute, ends_process

KEY_BYTES = 32

ID = re.compile("[A-Za-z0-9._-]{1,50}")

log = logging.getLogger("otpmail.crypto.keys")


class SigningKey(ABC):
    """One key of the ring, wherever it lies. ``value`` is what ``OTPMAIL_KEYS`` says of it.

    Whatever `sign` or `subkey` of a subclass raises reaches the caller as `NotHereError`.
    """

    def __init__(self, key_id: str, value: str) -> None:
        """Take the key in hand; asks nobody. Raises ValueError for a value that is none."""
        if not ID.fullmatch(key_id):
            raise ValueError("a key's id is 1 to 50 letters, figures, dots, dashes or underscores")
        self.id, self.value = key_id, value
        self._subkeys: dict[str, bytes] = {}

    def __init_subclass__(cls, **named: Any) -> None:
        """Let no fault of a key service out but as `NotHereError`, and ask once for a subkey."""
        super().__init_subclass__(**named)
        guarded: Any = cls
        guarded.sign, guarded.subkey = _guarded(cls.sign), _kept(_guarded(cls.subkey))

    def __repr__(self) -> str:
        """Name it by its id, and tell nothing of its value."""
        return f"<{type(self).__name__} {self.id}>"

    @abstractmethod
    def sign(self, purpose: str, message: bytes) -> bytes:
        """Give an HMAC-SHA256, or as good, of a message: 32 bytes, another for each purpose.

        The same for ever, since the code that was mailed is derived again when it is checked.
        """

    def subkey(self, purpose: str) -> bytes:
        """Give a key for one purpose of this process: 32 bytes. A key service is asked once."""
        return self.sign(purpose, b"otpmail subkey")

    def mac(self, purpose: str, message: bytes) -> bytes:
        """Give an HMAC-SHA256 under the purpose's subkey, made in this process: 32 bytes."""
        return hmac.digest(self.subkey(purpose), message, "sha256")


def _guarded[**P, R](use: Callable[P, R]) -> Callable[P, R]:
    @wraps(use)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return use(*args, **kwargs)
        except NotHereError:
            raise
        except BaseException as error:  # any library of a key service raises its own
            if ends_process(error):
                raise
            key = cast("SigningKey", args[0])
            # Its words may hold what was signed: only its type, and no chain that leads to it.
            raise _not_here(key.id, f"cannot be used: {type(error).__name__}") from None

    return guarded


def _kept(subkey: Callable[[Any, str], bytes]) -> Callable[[Any, str], bytes]:
    @wraps(subkey)
    def kept(self: SigningKey, purpose: str) -> bytes:
        known = self._subkeys
        if purpose not in known:
            known[purpose] = subkey(self, purpose)
        return known[purpose]

    return kept


class Key(SigningKey):
    """256 bits in this process. Its value is those bits in URL-safe base64."""

    def __init__(self, key_id: str, value: str | bytes) -> None:
        """Take a value out of the settings, or the bare bytes."""
        super().__init__(key_id, "")  # the text is not kept beside what it says
        self.secret = value if isinstance(value, bytes) else _decode(key_id, value)

    def sign(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA256 under the purpose's subkey."""
        return self.mac(purpose, message)

    def subkey(self, purpose: str) -> bytes:
        """Derive the key of one purpose: HKDF-SHA256 (RFC 5869), 32 bytes."""
        return _hkdf(self.secret, f"otpmail purpose {purpose}".encode())


def new() -> str:
    """Make a value for a new `Key`, out of the system's randomness."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def current() -> SigningKey:
    """Give the key for new challenges: the first of the ring. `NotHereError` if all are revoked."""
    try:
        return next(iter(ring().values()))
    except StopIteration:
        raise _not_here(
            next(iter(settings.KEYS), "?"), "is revoked, and there is no other"
        ) from None


def mac(purpose: str, message: bytes) -> bytes:
    """Give an HMAC under the current key. `NotHereError` if it cannot be used."""
    return current().mac(purpose, message)


def macs(purpose: str, message: bytes) -> Iterator[bytes]:
    """Give it under each key that rows can be read under, the current first.

    Of an older one whose service is away there is none: nobody waits for that.
    """
    first = current()
    yield first.mac(purpose, message)
    for key in readable().values():
        if key is not first:
            with suppress(NotHereError):
                yield key.mac(purpose, message)


def find(key_id: str) -> SigningKey | None:
    """Give the key with this id, or None if it is revoked.

    Raises `NotHereError` if it is neither known here nor revoked: a process with newer settings
    may know it.
    """
    if is_revoked(key_id):
        return None
    key = readable().get(key_id)
    if key is None:
        raise _not_here(key_id, "is not in the ring of this process, nor named as revoked")
    return key


def is_revoked(key_id: str) -> bool:
    """Tell whether it is named as revoked, so that nothing under it is good any more."""
    return key_id in settings.REVOKED_KEYS


def ring() -> Mapping[str, SigningKey]:
    """Give the keys in force by id, the current first. Raises ValueError for a malformed one."""
    return _ring(_given_keys(), _revoked()) if settings.KEYS else _of_secret_key()


def readable() -> Mapping[str, SigningKey]:
    """Give all keys under which rows can be read, by id: the ring, and behind it `SECRET_KEY`'s.

    So the first `OTPMAIL_KEYS` of a project loses nothing that stands under the key of before.
    """
    if not settings.KEYS:
        return _of_secret_key()
    return _readable(_given_keys(), _secrets(), _revoked())


def _given_keys() -> tuple[str, tuple[tuple[str, str], ...]]:
    return settings.KEY_CLASS, tuple(settings.KEYS.items())


def _secrets() -> tuple[str | bytes, ...]:
    return (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)


def _revoked() -> tuple[str, ...]:
    return tuple(settings.REVOKED_KEYS)


def _of_secret_key() -> Mapping[str, SigningKey]:
    return _of_secrets(_secrets(), _revoked())


# What the settings say is read at each call; what it comes to is made anew if it is another.


@lru_cache(maxsize=2)
def _ring(
    given: tuple[str, tuple[tuple[str, str], ...]], revoked: tuple[str, ...]
) -> Mapping[str, SigningKey]:
    return _in_force(_given(*given), revoked)


@lru_cache(maxsize=2)
def _of_secrets(
    secrets_: tuple[str | bytes, ...], revoked: tuple[str, ...]
) -> Mapping[str, SigningKey]:
    return _in_force(_from_secret_key(secrets_), revoked)


@lru_cache(maxsize=2)
def _readable(
    given: tuple[str, tuple[tuple[str, str], ...]],
    secrets_: tuple[str | bytes, ...],
    revoked: tuple[str, ...],
) -> Mapping[str, SigningKey]:
    return MappingProxyType({**_ring(given, revoked), **_of_secrets(secrets_, revoked)})


def _in_force(keys: Mapping[str, SigningKey], revoked: Collection[str]) -> Mapping[str, SigningKey]:
    return MappingProxyType({key_id: key for key_id, key in keys.items() if key_id not in revoked})


_once_per_minute = OncePerMinute()


def _not_here(key_id: str, why: str) -> NotHereError:
    """Make the error, and log it, once a minute and key at most."""
    said = f"key {key_id!r} {why}"
    if _once_per_minute.may_log(key_id):
        log.error("Email %s", said)
    return NotHereError(said)


@lru_cache(maxsize=2)
def _given(path: str, keys: tuple[tuple[str, str], ...]) -> Mapping[str, SigningKey]:
    make = cast("type[SigningKey]", import_string(path))
    return {key_id: make(key_id, value) for key_id, value in keys}


def _decode(key_id: str, text: str) -> bytes:
    try:
        secret = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, TypeError, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ValueError(f"key {key_id!r} is not {KEY_BYTES} bytes in URL-safe base64")
    return secret


@lru_cache(maxsize=2)
def _from_secret_key(given: tuple[str | bytes, ...]) -> Mapping[str, SigningKey]:
    return {key.id: key for key in map(_derived, given)}


def _derived(secret: str | bytes) -> Key:
    material = secret.encode() if isinstance(secret, str) else secret
    name = _hkdf(material, b"otpmail key id")[:4].hex()
    return Key(f"secret-key-{name}", _hkdf(material, b"otpmail key"))


@lru_cache(maxsize=64)
def _hkdf(material: bytes, info: bytes) -> bytes:
    # RFC 5869, 2.2 and 2.3, with no salt and one block of output.
    extracted = hmac.digest(b"\0" * 32, material, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")
