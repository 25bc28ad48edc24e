"""An address that takes no mail is not sent any until a time is over, and is kept only as an HMAC.

In: an address, the time. Out: whether it is suppressed.
Knows nothing of: challenges, mails, providers.

The HMAC is under the ring's current key, and is looked for under all: a key that is rotated lifts
nothing, one that is revoked lifts what was suppressed under it.
"""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from otpmail.conf import settings
from otpmail.crypto import keys
from otpmail.crypto.keys import SigningKey
from otpmail.db.sql_text import each
from otpmail.db.statements import Select
from otpmail.models import DeliveryEvent, Suppression

SUBKEY = "otpmail suppressions"


def suppress(address: str, reason: DeliveryEvent, *, since: datetime) -> None:
    """Send an address nothing for ``OTPMAIL_SUPPRESS_SECONDS``. Joins the caller's transaction."""
    if not settings.SUPPRESS_SECONDS:
        return
    until = since + timedelta(seconds=settings.SUPPRESS_SECONDS)
    columns = {"reason": reason, "created_at": since, "until": until}
    digest = _digest(address, keys.current())
    if not _rows().filter(pk=digest).update(**columns):
        _rows().bulk_create([Suppression(digest=digest, **columns)], ignore_conflicts=True)


def is_suppressed(address: str, *, now: datetime) -> bool:
    """Tell whether an address is sent nothing now."""
    return bool(_FIND(digests=_digests(address), now=now))


def lift(address: str, *, now: datetime) -> bool:
    """Send to an address again, if what was suppressed is older than this. Tells whether it was."""
    return _of(address).filter(created_at__lte=now).delete()[0] > 0


def prune(*, now: datetime, limit: int) -> int:
    """Delete up to so many suppressions that ended. Returns how many."""
    ended = _rows().filter(until__lte=now)
    found = list(ended.values_list("pk", flat=True)[:limit])
    # Looked at again: it may have been lengthened meanwhile.
    return ended.filter(pk__in=found).delete()[0] if found else 0


def _of(address: str) -> QuerySet[Suppression]:
    return _rows().filter(pk__in=_digests(address))


def _digests(address: str) -> list[str]:
    return [_digest(address, key) for key in keys.readable().values()]


def _rows() -> QuerySet[Suppression]:
    return Suppression.objects.all()


def _digest(address: str, key: SigningKey) -> str:
    # ASCII letters only. With all of Unicode's equals, one who owns a look-alike of your address
    # could let it bounce, and you would get no more codes.
    return key.mac(SUBKEY, address.encode().lower()).hex()


_FIND = Select(
    Suppression,
    lambda digests, now: _rows().filter(pk__in=digests, until__gt=now).values_list("pk"),
    digests=each("digest"),
    now="until",
)
