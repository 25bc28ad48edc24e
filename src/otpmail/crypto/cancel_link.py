"""The link in a mail with which its reader says 'that was not me'.

In: a challenge's id. Out: an address with a signed token; later, the id back.
Knows nothing of: rows, and whether there is still something to cancel.

The token is the capability: whoever was sent it may cancel this one challenge, signed in or not,
and do nothing else. It names no time: the challenge's own end is its end.
"""

import base64
import binascii
from uuid import UUID

from django.core.signing import BadSignature, Signer
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from otpmail.conf import settings

_SALT = "otpmail.cancel"


def cancel_url(challenge_id: UUID) -> str:
    """Give the address of the page that cancels; empty where ``OTPMAIL_BASE_URL`` is."""
    if not settings.BASE_URL:
        return ""
    named = base64.urlsafe_b64encode(challenge_id.bytes).decode().rstrip("=")
    # Behind the '#', which browsers keep to themselves: no server's log has it.
    return f"{settings.BASE_URL.rstrip('/')}{reverse('otpmail:cancel')}#{_signer().sign(named)}"


@sensitive_variables()
def read(token: str) -> UUID | None:
    """Give the challenge's id that we signed, or None."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(_signer().unsign(token) + "=="))
    except (BadSignature, binascii.Error, ValueError):
        return None


def _signer() -> Signer:
    return Signer(salt=_SALT, sep=".")  # under SECRET_KEY and its fall-backs, so that it rotates
