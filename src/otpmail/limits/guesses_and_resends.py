"""How many guesses and resends a challenge bears: one conditional UPDATE each, taken or refused.

In: which challenge, the time. Out: whether there was room.
Knows nothing of: codes, mails, answers.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, QuerySet
from django.views.decorators.debug import sensitive_variables

from otpmail import purposes
from otpmail.conf import settings
from otpmail.crypto.derive import NONCE_BYTES
from otpmail.db.statements import Select, Update
from otpmail.limits import lockout
from otpmail.models import Challenge


def count_guess(challenge: Challenge, *, now: datetime) -> int | None:
    """Count a failure, of the challenge and of its owner, before the code is looked at.

    A right code gives both back, and so does `give_back_guess`. Returns the guess's number, or None
    if none is left. Joins the caller's transaction, in which the row stays locked, so no two
    guesses have one number.
    """
    most = settings.of(challenge.purpose).GUESSES
    if not _COUNT(pk=challenge.pk, now=now, most=most):
        return None
    lockout.count(challenge.owner, now)
    ((failures,),) = _COUNTED(pk=challenge.pk)
    return int(failures)


def give_back_guess(challenge: Challenge) -> None:
    """Give a guess back that was counted and told nothing. Joins the caller's transaction."""
    if _GIVE_BACK(pk=challenge.pk):
        lockout.give_back(challenge.owner)  # else it ended, as a right code that gave it back


def count_resend(challenge: Challenge, *, now: datetime) -> bool:
    """Take the room for one more mail with the same code."""
    sends = challenge.sends + 1
    resend_at = now + purposes.cool_down(challenge.purpose, sends)
    return _take(_RESEND, challenge, now, {"sends": sends, "resend_at": resend_at})


@sensitive_variables()
def count_reissue(challenge: Challenge, *, now: datetime) -> bool:
    """Take the room for a new code: the next generation, which kills the older one."""
    life = timedelta(seconds=settings.of(challenge.purpose).LIFE_SECONDS)
    new = {
        "generation": challenge.generation + 1,
        "nonce": secrets.token_bytes(NONCE_BYTES),
        "older_nonces": bytes(challenge.older_nonces or b"") + bytes(challenge.nonce or b""),
        "sends": 1,
        "expires_at": min(now + life, challenge.closes_at),
        "resend_at": now + purposes.cool_down(challenge.purpose, 1),
    }
    return _take(_REISSUE, challenge, now, new)


@sensitive_variables()
def _take(
    statement: Update, challenge: Challenge, now: datetime, new: Mapping[str, object]
) -> bool:
    # Two clicks at once read the same row; the cool-down and the counts let one of them through.
    seen = {"seen_generation": challenge.generation, "seen_sends": challenge.sends}
    taken = statement(pk=challenge.pk, now=now, **seen, **new)
    if taken:
        for column, value in new.items():
            setattr(challenge, column, value)
    return taken == 1


def pending(pk: UUID) -> QuerySet[Challenge]:
    """Find a challenge, if it is pending."""
    # By `ended_at`, which no index holds: a database that found the row by its state would lock an
    # index before the row, and meet who locks them the other way round (MariaDB: 1213).
    return Challenge.objects.filter(pk=pk, ended_at=None)


def _again(
    pk: UUID, now: datetime, seen_generation: int, seen_sends: int, **new: object
) -> tuple[QuerySet[Challenge], Mapping[str, object]]:
    rows = pending(pk).filter(generation=seen_generation, sends=seen_sends, resend_at__lte=now)
    return rows, new


_SEEN = {
    "pk": "id",
    "now": "resend_at",
    "seen_generation": "generation",
    "seen_sends": "sends",
    "sends": "sends",
    "resend_at": "resend_at",
}

_RESEND = Update(Challenge, _again, **_SEEN)

_REISSUE = Update(
    Challenge,
    _again,
    **_SEEN,
    **{name: name for name in ("generation", "nonce", "older_nonces", "expires_at")},
)

_COUNT = Update(
    Challenge,
    lambda pk, now, most: (
        pending(pk).filter(expires_at__gt=now, failures__lt=most),
        {"failures": F("failures") + 1},
    ),
    pk="id",
    now="expires_at",
    most="failures",
)

_COUNTED = Select(Challenge, lambda pk: pending(pk).values_list("failures"), pk="id")

_GIVE_BACK = Update(
    Challenge,
    lambda pk: (pending(pk).filter(failures__gt=0), {"failures": F("failures") - 1}),
    pk="id",
)
