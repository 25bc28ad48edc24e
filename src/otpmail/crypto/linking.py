"""What a code stands for, as one keyed digest: who writes the database can make no other.

In: a challenge, the facts of its transaction. Out: 32 bytes for its row; whether they still hold.
Knows nothing of: where facts are read, what becomes of a challenge that changed.

HMAC-SHA256 under a subkey of the challenge's key (dynamic linking: PSD2 RTS, 5) over fields of
fixed length: the challenge's id, purpose, owner, what is shown (recipient and context), and the
facts. So none of them can be changed, and no digest moved to another row.
"""

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

from otpmail.crypto import keys, transaction_data
from otpmail.crypto.keys import SigningKey
from otpmail.crypto.transaction_data import Facts

if TYPE_CHECKING:
    from otpmail.models import Challenge

VERSION = 2
"""Kept in the challenge's row. Version 1, without a key, is good no more."""

_SUBKEY = "otpmail binding"
_LABEL = b"otpmail binding v2\0"
_NO_FACTS = bytes(32)


def link(challenge: "Challenge", facts: Facts | None) -> None:
    """Write on a new challenge what its code stands for. Raises `NotHereError`."""
    key = keys.current()
    challenge.key_id, challenge.binding_version = key.id, VERSION
    challenge.is_bound = bool(facts)
    challenge.binding = _binding_of(key, challenge, facts)


def holds(challenge: "Challenge", facts: Facts | None) -> bool:
    """Tell whether row and facts are what they were at issue. Raises `NotHereError`.

    Of a revoked key nothing can be told; what stands under it ends anyway.
    """
    key = keys.find(challenge.key_id)
    if key is None:
        return True
    if challenge.binding_version != VERSION:
        return False
    return hmac.compare_digest(_binding_of(key, challenge, facts), bytes(challenge.binding))


def shown(key: SigningKey, recipient: str, context: Mapping[str, object]) -> bytes:
    """Digest to whom a mail goes, and what it shows beside the facts: 32 bytes."""
    text = json.dumps([recipient, context], sort_keys=True)
    return key.mac(_SUBKEY, text.encode())


def bind(
    key: SigningKey,
    *,
    challenge_id: UUID,
    purpose: str,
    owner: str,
    shown: bytes,
    facts: Facts | None,
) -> bytes:
    """Make the digest: 32 bytes."""
    message = b"".join(
        (
            _LABEL,
            challenge_id.bytes,
            sha256(purpose.encode()).digest(),
            sha256(owner.encode()).digest(),
            shown,
            transaction_data.digest(facts) if facts else _NO_FACTS,
        )
    )
    return key.mac(_SUBKEY, message)


def _binding_of(key: SigningKey, challenge: "Challenge", facts: Facts | None) -> bytes:
    return bind(
        key,
        challenge_id=challenge.pk,
        purpose=challenge.purpose,
        owner=challenge.owner,
        shown=shown(key, challenge.recipient, challenge.context),
        facts=facts,
    )
