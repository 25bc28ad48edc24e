"""How often: each limit is one conditional UPDATE, taken or refused, never read and then written.

In: which challenge, the time. Out: whether there was room.
Knows nothing of: codes, mails, answers.
"""

import secrets
from datetime import datetime, timedelta

from django.db.models import F, QuerySet
from django.views.decorators.debug import sensitive_variables

from otpmail import purposes
from otpmail.conf import settings
from otpmail.crypto.derive import NONCE_BYTES
from otpmail.limits import lockout
from otpmail.models import Challenge


def count_guess(challenge: Challenge, *, now: datetime) -> int | None:
    """Count a failure, of the challenge and of its owner, before the code is looked at.

    A right code gives both back, and so does `give_back_guess`. Returns the guess's number, or None
    if none is left. Joins the caller's transaction, in which the row stays locked, so no two
    guesses have one number.
    """
    most = settings.of(challenge.purpose).GUESSES
    room = _pending(challenge).filter(expires_at__gt=now, failures__lt=most)
    if not room.update(failures=F("failures") + 1):
        return None
    lockout.count(challenge.owner, now)
    return _pending(challenge).values_list("failures", flat=True).get()


def give_back_guess(challenge: Challenge) -> None:
    """Give a guess back that was counted and told nothing. Joins the caller's transaction."""
    if _pending(challenge).filter(failures__gt=0).update(failures=F("failures") - 1):
        lockout.give_back(challenge.owner)  # else it ended, as a right code that gave it back


def count_resend(challenge: Challenge, *, now: datetime) -> bool:
    """Take the room for one more mail with the same code."""
    return _take(
        challenge,
        now,
        sends=challenge.sends + 1,
        resend_at=now + purposes.cool_down(challenge.purpose, challenge.sends + 1),
    )


@sensitive_variables()
def count_reissue(challenge: Challenge, *, now: datetime) -> bool:
    """Take the room for a new code: the next generation, which kills the older one."""
    life = timedelta(seconds=settings.of(challenge.purpose).LIFE_SECONDS)
    return _take(
        challenge,
        now,
        generation=challenge.generation + 1,
        nonce=secrets.token_bytes(NONCE_BYTES),
        older_nonces=bytes(challenge.older_nonces or b"") + bytes(challenge.nonce or b""),
        sends=1,
        expires_at=min(now + life, challenge.closes_at),
        resend_at=now + purposes.cool_down(challenge.purpose, 1),
    )


@sensitive_variables()
def _take(challenge: Challenge, now: datetime, **columns: object) -> bool:
    # Two clicks at once read the same row; the cool-down and the counts let one of them through.
    room = _pending(challenge).filter(
        generation=challenge.generation, sends=challenge.sends, resend_at__lte=now
    )
    taken = room.update(**columns)
    if taken:
        for column, value in columns.items():
            setattr(challenge, column, value)
    return taken == 1


def _pending(challenge: Challenge) -> QuerySet[Challenge]:
    # By `ended_at`, which no index holds: a database that found the row by its state would lock an
    # index before the row, and meet who locks them the other way round (MariaDB: 1213).
    return Challenge.objects.filter(pk=challenge.pk, ended_at=None)
