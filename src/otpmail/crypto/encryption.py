"""A mail at rest is encrypted: Fernet (AES-128-CBC and HMAC-SHA256) under a subkey of the ring.

In: a text, and the id of the delivery that it belongs to. Out: bytes, and the id of their key.
Knows nothing of: mails, rows.

A seal broken, put under another delivery, or whose key was revoked opens to None. One whose key is
not here opens elsewhere, or later: `NotHereError`.
"""

import base64
from typing import TYPE_CHECKING
from uuid import UUID

from otpmail.crypto import keys

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SUBKEY = "otpmail stored message"


def encrypt(text: str, delivery_id: UUID) -> tuple[str, bytes]:
    """Give the key's id and what only that key opens."""
    key = keys.current()
    return key.id, _fernet(key).encrypt(delivery_id.bytes + text.encode())


def decrypt(content: bytes, key_id: str, delivery_id: UUID) -> str | None:
    """Give the text back; None if it cannot be had any more. `NotHereError` if not here, now."""
    from cryptography.fernet import InvalidToken  # optional: otpmail[outbox]

    key = keys.find(key_id)
    if key is None:
        return None
    try:
        opened = _fernet(key).decrypt(content)
    except InvalidToken:
        return None
    whose, text = opened[: len(delivery_id.bytes)], opened[len(delivery_id.bytes) :]
    return text.decode() if whose == delivery_id.bytes else None


def _fernet(key: keys.SigningKey) -> "Fernet":
    from cryptography.fernet import Fernet  # optional: otpmail[outbox]

    return Fernet(base64.urlsafe_b64encode(key.subkey(SUBKEY)))
