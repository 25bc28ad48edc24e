"""A receipt proves that this code was typed for these facts at this time.

In: a confirmed challenge. Out: a text that only a holder of the key could have made. And: a receipt
and what it is said to be for in, true or false out.
Knows nothing of: who asks, and what is done on the strength of it.

``<binding version>.<key id>.<MAC>``: HMAC-SHA256 over the challenge's id, the digest of what it was
bound to, and the time of confirmation. It stays good until its key is revoked. `NotHereError` says
that this process does not know its key, so it cannot tell.
"""

import hmac
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

from otpmail import binding, keys
from otpmail.models import Challenge, State

MAX_LENGTH = 100
"""Characters of a receipt at most."""

_VERSIONS = {str(version): version for version in range(1, binding.VERSION + 1)}
_PURPOSE = "otpmail receipt"
_LABEL = b"otpmail receipt v1\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of(challenge: Challenge) -> str:
    """Give a confirmed challenge's receipt. Raises ValueError for any other challenge."""
    key = keys.find(challenge.key_id)
    if challenge.state != State.CONFIRMED or challenge.ended_at is None or key is None:
        raise ValueError(f"no receipt for {challenge}")
    mac = _mac(key, challenge.pk, bytes(challenge.binding), challenge.ended_at)
    return f"{challenge.binding_version}.{key.id}.{mac}"


def check(
    receipt: str, *, challenge_id: UUID, facts: binding.Facts, confirmed_at: datetime
) -> bool:
    """Tell whether this receipt is for this challenge, these facts and this time.

    Raises `NotHereError` if its key is not known here, or its key service is away.
    """
    version, _, rest = receipt.partition(".")
    key_id, _, mac = rest.rpartition(".")
    if version not in _VERSIONS or not keys.ID.fullmatch(key_id):
        return False
    key = keys.find(key_id)
    if key is None:
        return False
    digest = binding.digest(facts, version=_VERSIONS[version])
    expected = _mac(key, challenge_id, digest, confirmed_at)
    return hmac.compare_digest(expected.encode(), mac.encode(errors="replace"))


def _mac(key: keys.SigningKey, challenge_id: UUID, digest: bytes, moment: datetime) -> str:
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    message = _LABEL + challenge_id.bytes + digest + microseconds.to_bytes(8)
    return urlsafe_b64encode(key.sign(_PURPOSE, message)).decode().rstrip("=")
