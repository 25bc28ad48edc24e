"""A receipt proves that this code was typed for these facts at this time.

In: a confirmed challenge. Out: a text that only a holder of the key could have made. And: a receipt
and what it is said to be for in, true or false out.
Knows nothing of: who asks, and what is done on the strength of it.

``1.<key id>.<MAC>``: HMAC-SHA256 over the challenge's id, the digest of what it was bound to, and
the time of confirmation. It stays good as long as its key is in the ring, rotated or not.
"""

import hmac
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

from otpmail import binding, keys
from otpmail.models import Challenge, State

MAX_LENGTH = 100
"""Characters of a receipt at most."""

_VERSION = "1"
_PURPOSE = "otpmail receipt"
_LABEL = b"otpmail receipt v1\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of(challenge: Challenge) -> str:
    """Give a confirmed challenge's receipt. Raises ValueError for any other challenge."""
    key = keys.find(challenge.key_id)
    if challenge.state != State.CONFIRMED or challenge.ended_at is None or key is None:
        raise ValueError(f"no receipt for {challenge}")
    return _signed(key, challenge.pk, bytes(challenge.binding), challenge.ended_at)


def check(
    receipt: str, *, challenge_id: UUID, facts: binding.Facts, confirmed_at: datetime
) -> bool:
    """Tell whether this receipt is for this challenge, these facts and this time."""
    key = keys.find(receipt.removeprefix(f"{_VERSION}.").rpartition(".")[0])
    if key is None:
        return False
    expected = _signed(key, challenge_id, binding.digest(facts), confirmed_at)
    return hmac.compare_digest(expected.encode(), receipt.encode(errors="replace"))


def _signed(key: keys.SigningKey, challenge_id: UUID, digest: bytes, moment: datetime) -> str:
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    message = _LABEL + challenge_id.bytes + digest + microseconds.to_bytes(8)
    mac = urlsafe_b64encode(key.sign(_PURPOSE, message)).decode().rstrip("=")
    return f"{_VERSION}.{key.id}.{mac}"
