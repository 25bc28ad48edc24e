"""A receipt proves that this code was typed for these facts at this time.

In: a confirmed challenge. Out: a text that only a holder of the key could have made. And: a receipt
and what it is said to be for in, true or false out.
Knows nothing of: who asks, and what is done on the strength of it.

``2.<key id>.<shown>.<MAC>``: HMAC-SHA256 over the challenge's keyed binding (``crypto.linking``:
its id, purpose, owner, facts, recipient and what was shown) and the time of confirmation. ``shown``
is the digest of the recipient and of what the mail showed beside the facts, so that who checks need
not know them, and can prove them. It stays good until its key is revoked. `NotHereError` says that
this process does not know its key, so it cannot tell.
"""

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from otpmail.crypto import keys, linking
from otpmail.crypto.transaction_data import Facts
from otpmail.db import arguments
from otpmail.models import Challenge, ChallengeState

MAX_LENGTH = 140
"""Characters of a receipt at most."""

_VERSION = str(linking.VERSION)
_PURPOSE = "otpmail receipt"
_LABEL = b"otpmail receipt v2\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of(challenge: Challenge) -> str:
    """Give a confirmed challenge's receipt. Raises ValueError for any other challenge."""
    key = keys.find(challenge.key_id)
    if challenge.state != ChallengeState.CONFIRMED or challenge.ended_at is None or key is None:
        raise ValueError(f"no receipt for {challenge}")
    shown = _text(linking.shown(key, challenge.recipient, challenge.context))
    mac = _mac(key, bytes(challenge.binding), challenge.ended_at)
    return f"{_VERSION}.{key.id}.{shown}.{mac}"


def check(
    receipt: str,
    *,
    challenge_id: UUID | str,
    purpose: str,
    owner: str,
    facts: Facts | None,
    confirmed_at: datetime,
    recipient: str | None = None,
    context: Mapping[str, str] | None = None,
) -> bool:
    """Tell whether this receipt is for this challenge, purpose, owner, facts and time.

    Of one receipt there is one text: no other spelling of it passes.

    With ``recipient``, also whether the code was mailed to this address beside this ``context``.
    What is no receipt is none of ours: False. Raises TypeError or ValueError for anything else that
    cannot be what was told of a code, and `NotHereError` if its key is not known here, or its key
    service is away.
    """
    pk = _looked_at(challenge_id, purpose, owner, facts, confirmed_at)
    lines = arguments.context({} if context is None else context)
    if recipient is not None:
        arguments.text("recipient", recipient)
    if not isinstance(receipt, str):
        return False
    version, _, rest = receipt.partition(".")
    key_id, *parts = rest.rsplit(".", 2)
    if version != _VERSION or len(parts) != len(("shown", "mac")) or not keys.ID.fullmatch(key_id):
        return False
    key = keys.find(key_id)
    if key is None:
        return False
    shown, mac = parts
    if _text(_bytes(shown)) != shown:  # base64 is read with letters between, and loose last bits
        return False
    if recipient is not None and not _same(_text(linking.shown(key, recipient, lines)), shown):
        return False
    bound = linking.bind(
        key,
        challenge_id=pk,
        purpose=purpose,
        owner=owner,
        shown=_bytes(shown),
        facts=facts,
    )
    return _same(_mac(key, bound, confirmed_at), mac)


def _looked_at(
    challenge_id: object, purpose: str, owner: str, facts: object, confirmed_at: object
) -> UUID:
    arguments.check(purpose=purpose, owner=owner)
    arguments.moment("confirmed_at", confirmed_at)
    if facts is not None:
        arguments.facts(facts)
    pk = arguments.challenge_id(challenge_id)
    if pk is None:
        raise ValueError("challenge_id is a UUID, or one as text")
    return pk


def _mac(key: keys.SigningKey, bound: bytes, moment: datetime) -> str:
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    return _text(key.sign(_PURPOSE, _LABEL + bound + microseconds.to_bytes(8, signed=True)))


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=")
    except (binascii.Error, ValueError):
        return b""
