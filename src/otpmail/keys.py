"""The key ring: which key derives a code, and which key derived that one.

In: ``OTPMAIL_KEYS``, or Django's ``SECRET_KEY`` and its fall-backs. Out: keys by id, subkeys.
Knows nothing of: codes, rows.

A row keeps the id of its key, so no key is ever tried in vain. A key that left the ring is
revoked: the challenges under it end.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from django.conf import settings as django_settings

from otpmail.conf import settings

KEY_BYTES = 32
ID_LENGTH = 50


@dataclass(frozen=True, slots=True)
class Key:
    """One 256-bit key of the ring. Its secret is in no repr."""

    id: str
    secret: bytes = field(repr=False)

    def subkey(self, purpose: str) -> bytes:
        """Derive the key of one purpose: HKDF-SHA256 (RFC 5869), 32 bytes."""
        return _hkdf(self.secret, f"otpmail purpose {purpose}".encode())

    @property
    def sealing(self) -> bytes:
        """Derive the key that seals mails, 32 bytes."""
        return _hkdf(self.secret, b"otpmail sealed mail")


def current() -> Key:
    """Give the key for new challenges: the first of the ring."""
    return next(iter(ring().values()))


def find(key_id: str) -> Key | None:
    """Give the key with this id, or None if it was revoked."""
    return ring().get(key_id)


def ring() -> Mapping[str, Key]:
    """Give the keys in force by id, the current first. Raises ValueError for a malformed one."""
    if settings.KEYS:
        return _given(tuple(settings.KEYS.items()))
    return _from_secret_key((django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=2)
def _given(keys: tuple[tuple[str, str], ...]) -> Mapping[str, Key]:
    return {key_id: Key(key_id, _decode(key_id, text)) for key_id, text in keys}


def _decode(key_id: str, text: str) -> bytes:
    if len(key_id) > ID_LENGTH:
        raise ValueError(f"a key's id has at most {ID_LENGTH} characters, not {len(key_id)}")
    try:
        secret = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, TypeError, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ValueError(f"key {key_id!r} is not {KEY_BYTES} bytes in URL-safe base64")
    return secret


@lru_cache(maxsize=2)
def _from_secret_key(secrets: tuple[str | bytes, ...]) -> Mapping[str, Key]:
    return {key.id: key for key in map(_derived, secrets)}


def _derived(secret: str | bytes) -> Key:
    material = secret.encode() if isinstance(secret, str) else secret
    name = _hkdf(material, b"otpmail key id")[:4].hex()
    return Key(f"secret-key-{name}", _hkdf(material, b"otpmail key"))


@lru_cache(maxsize=64)
def _hkdf(material: bytes, info: bytes) -> bytes:
    # RFC 5869, 2.2 and 2.3, with no salt and one block of output.
    extracted = hmac.digest(b"\0" * 32, material, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")
