"""A request that is repeated gets the answer of the first one, and does nothing twice.

In: a member, their Idempotency-Key, what is asked. Out: the stored answer, or none yet.
Knows nothing of: what requests do.

A key is taken in the same transaction as what its request did, so a refused request leaves it free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import IntegrityError
from django.http import HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from mobile_api.models import IdempotencyKey, Member
from mobile_api.problems import KEY_MISMATCH, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """A request under a key. ``content`` is all that makes it another request."""

    member: Member
    key: str
    content: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Keyed, since a content can hold a code, and six digits are soon tried."""
        return self._fingerprint(settings.SECRET_KEY)

    def is_that_of(self, fingerprint: str) -> bool:
        """Tell whether this is what was asked then, also under a secret key of before."""
        secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        return any(constant_time_compare(self._fingerprint(key), fingerprint) for key in secrets)

    def _fingerprint(self, secret: str | bytes) -> str:
        salt = "mobile_api.idempotency"
        return salted_hmac(salt, self.content, secret=secret, algorithm="sha256").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """What a request was answered, to the byte."""

    status: int
    body: str
    location: str = ""

    def response(self) -> HttpResponse:
        """Write it down."""
        headers = {"Location": self.location} if self.location else {}
        return HttpResponse(
            self.body, status=self.status, content_type="application/json", headers=headers
        )


def once(ask: IdempotentRequest | None, act: Callable[[], StoredResponse]) -> StoredResponse:
    """Give the stored answer, or act. ``act`` keeps its answer in the transaction that it works in.

    Of two at once one is the first: the other's work is rolled back or refused, and it is given
    the first's answer. Without a key each request is another.
    """
    if stored := find(ask):
        return stored
    try:
        return act()
    except (IntegrityError, Problem):
        if stored := find(ask):
            return stored
        raise


def find(ask: IdempotentRequest | None) -> StoredResponse | None:
    """Give the stored answer. Raises the problem if the key belongs to another request."""
    if ask is None:
        return None
    row = IdempotencyKey.objects.filter(member=ask.member, key=ask.key).first()
    if row is None:
        return None
    if not ask.is_that_of(row.fingerprint):
        raise Problem(KEY_MISMATCH, "This Idempotency-Key was used for another request before.")
    return StoredResponse(status=row.status, body=row.body, location=row.location)


def keep(ask: IdempotentRequest | None, answer: StoredResponse) -> None:
    """Store an answer. Joins the caller's transaction."""
    if ask is None:
        return
    IdempotencyKey.objects.create(
        member=ask.member,
        key=ask.key,
        fingerprint=ask.fingerprint,
        status=answer.status,
        location=answer.location,
        body=answer.body,
        created_at=timezone.now(),
    )
