"""A code is derived, never stored: a keyed digest of all that it stands for.

In: a way to sign and a challenge's facts. Out: digits. And: typed text in, digits or None out.
Knows nothing of: rows, rings, time.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from uuid import UUID

NONCE_BYTES = 16
_LABEL = b"otpmail code v1\0"


def derive(
    sign: Callable[[bytes], bytes],
    *,
    challenge_id: UUID,
    generation: int,
    nonce: bytes,
    purpose: str,
    subject: str,
    binding: bytes,
    digits: int,
) -> str:
    """Derive a code of so many digits, leading zeros kept.

    ``sign`` is HMAC-SHA256 under the purpose's key. The message has a fixed length, so that no two
    sets of facts share one; then the whole digest mod 10^digits, so that every code is as likely
    as any other (bias below 2^-220).
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    message = b"".join(
        (
            _LABEL,
            challenge_id.bytes,
            generation.to_bytes(4),
            nonce,
            hashlib.sha256(purpose.encode()).digest(),
            hashlib.sha256(subject.encode()).digest(),
            binding,
        )
    )
    number = int.from_bytes(sign(message))
    return f"{number % 10**digits:0{digits}d}"


def compare(code: str, typed: str) -> bool:
    """Compare two codes in a time that tells nothing of where they differ."""
    return hmac.compare_digest(code.encode(), typed.encode())


def normalise(typed: str, digits: int) -> str | None:
    """Read what a person typed or pasted: so many ASCII digits, or None if it cannot be a code.

    Spaces and dashes are removed, any script's digits become ASCII.
    """
    if len(typed) > 16 * digits:  # no code, however it was spaced; and not worth normalising
        return None
    text = unicodedata.normalize("NFKC", typed)
    figures = [char for char in text if unicodedata.category(char) not in ("Zs", "Cc", "Cf", "Pd")]
    values = [unicodedata.digit(char, -1) for char in figures]
    if len(values) != digits or -1 in values:
        return None
    return "".join(map(str, values))
