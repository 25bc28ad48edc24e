"""Who is asking: a member by number and PIN, and then by a bearer token.

In: a number and a PIN, or a token. Out: the member, or None.
Knows nothing of: what members may do.

A token is 256 random bits, so that its bare SHA-256 is enough to keep; a PIN is short, so that it
is kept under Django's slow hashers. An unknown number costs as much time as a wrong PIN.
A failure is counted before the PIN is looked at (``throttle``). A hash is dear on purpose, so few
are made at once: a flood of sign-ins takes no other request's turn.
"""

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX, check_password
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from ninja.security import HttpBearer

from mobile_api.models import Member, Token
from mobile_api.throttle import Throttle
from otpmail.challenges import Client

TOKEN_BYTES = 32
TOKEN_LIFE = timedelta(hours=12)

SEEN_EVERY = timedelta(seconds=30)
"""How often at most it is written down that a token was used."""

HASH_WAIT_SECONDS = 2
"""How long a sign-in waits for its turn."""

_hashing = threading.BoundedSemaphore(settings.HASHES_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many sign-ins failed; the PIN was not looked at."""

    retry_at: datetime


class BusyError(Exception):
    """As many PINs are looked at as may be at once; nothing was counted."""


class MemberRequest(HttpRequest):
    """A request whose sender is known."""

    auth: Token


class Bearer(HttpBearer):
    """``Authorization: Bearer <token>``."""

    @sensitive_variables()
    def __call__(self, request: HttpRequest) -> Any:
        """Hide the token in ninja's own frames."""
        return super().__call__(request)

    @sensitive_variables()
    def authenticate(self, request: HttpRequest, token: str) -> Token | None:  # noqa: ARG002
        """Find the token among those in force, and its member with it."""
        found = in_force().select_related("member").filter(digest=_digest(token)).first()
        now = timezone.now()
        if found and found.seen_at < now - SEEN_EVERY:
            in_force().filter(pk=found.pk, seen_at__lt=now).update(seen_at=now)
        return found


def in_force() -> QuerySet[Token]:
    """Give the tokens that are good: not over, not signed out, and used not long ago."""
    now = timezone.now()
    idle = now - timedelta(seconds=settings.SIGN_OUT_IDLE_SECONDS)
    return Token.objects.filter(revoked_at=None, expires_at__gt=now, seen_at__gt=idle)


@sensitive_variables()
def sign_in(number: str, pin: str, client: Client) -> tuple[str, datetime] | Throttled | None:
    """Give a token and its end, or None if the number and the PIN do not belong together."""
    throttle = Throttle(number, client)
    retry_at = throttle.take()
    if retry_at is not None:
        return Throttled(retry_at)
    member = Member.objects.filter(number=number).first()
    if not _hashing.acquire(timeout=HASH_WAIT_SECONDS):
        throttle.give_back()
        raise BusyError
    try:
        is_right = check_password(pin, member.pin if member else UNUSABLE_PASSWORD_PREFIX)
    finally:
        _hashing.release()
    if not is_right or not member:
        return None
    throttle.give_back()
    throttle.know()
    token, now = secrets.token_urlsafe(TOKEN_BYTES), timezone.now()
    Token.objects.create(
        member=member,
        digest=_digest(token),
        client=client.credential or client.counted_as,
        created_at=now,
        seen_at=now,
        expires_at=now + TOKEN_LIFE,
    )
    return token, now + TOKEN_LIFE


def sign_out(token: Token) -> None:
    """Revoke a token. It stays a row, so that one can see until when it was good."""
    Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def sign_out_everywhere(member: Member) -> None:
    """Revoke all tokens of a member: of lost phones, and of whoever else signed in."""
    Token.objects.filter(member=member, revoked_at=None).update(revoked_at=timezone.now())


@sensitive_variables()
def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
