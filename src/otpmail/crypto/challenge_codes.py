"""The codes of a challenge: they are stored nowhere, and derived when they are mailed or checked.

In: a challenge. Out: its live code, those of the generations before; None under a revoked key.
Knows nothing of: what a person typed, mails.
"""

from functools import partial
from typing import TYPE_CHECKING

from django.views.decorators.debug import sensitive_variables

from otpmail.crypto import derive, keys

if TYPE_CHECKING:
    from otpmail.models import Challenge


@sensitive_variables()
def code_of(challenge: "Challenge") -> str | None:
    """Derive a pending challenge's live code; None if its key was revoked.

    Raises `NotHereError` if its key is not known here, or its key service is away.
    """
    if challenge.nonce is None:
        return None
    return _derived(challenge, challenge.generation, bytes(challenge.nonce))


@sensitive_variables()
def older_codes_of(challenge: "Challenge") -> list[str]:
    """Derive the codes of the generations that the live one killed, the oldest first."""
    nonces, size = bytes(challenge.older_nonces or b""), derive.NONCE_BYTES
    older = [nonces[start : start + size] for start in range(0, len(nonces), size)]
    derived = [_derived(challenge, number, nonce) for number, nonce in enumerate(older, start=1)]
    return [code for code in derived if code is not None]


@sensitive_variables()
def codes_of(challenge: "Challenge") -> list[str]:
    """Derive all codes of a challenge that has not ended, the live one first."""
    return [code for code in (code_of(challenge), *older_codes_of(challenge)) if code is not None]


@sensitive_variables()
def _derived(challenge: "Challenge", generation: int, nonce: bytes) -> str | None:
    key = keys.find(challenge.key_id)
    if key is None:
        return None
    return derive.derive(
        partial(key.sign, challenge.purpose),
        challenge_id=challenge.id,
        generation=generation,
        nonce=nonce,
        purpose=challenge.purpose,
        owner=challenge.owner,
        binding=bytes(challenge.binding),
        digits=challenge.digits,
    )
