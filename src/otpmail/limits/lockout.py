"""How many wrong codes one owner bears over all challenges, and how long it waits after that.

In: an owner, the time. Out: until when no new challenge is made for it.
Knows nothing of: codes, how a wrong one is told.

A failure counts only for a challenge that the caller named by its id and owns, so that knowing
somebody's address or number spends nothing of theirs. When the last of the budget is gone the
owner waits, at first 15 minutes, then twice as long each time, at most 24 hours: never for good.
"""

from datetime import datetime

from django.db.models import BigIntegerField, Case, F, Value, When
from django.db.models.functions import Least

from otpmail.conf import settings
from otpmail.limits.counters import Allowance, milliseconds, moment


def count(owner: str, now: datetime) -> None:
    """Count a failure, before the code is looked at. Joins the caller's transaction."""
    of(owner).count(now)


def give_back(owner: str) -> None:
    """Give it back: the code was right."""
    of(owner).give_back()


def enforce(owner: str, now: datetime) -> None:
    """Begin a wait if the budget is spent and none has begun. Called when a code was wrong."""
    if not settings.LOCKOUT_FAILURES:
        return
    first, longest = (seconds * 1000 for seconds in settings.LOCKOUT_SECONDS)
    now_ms = milliseconds(now)
    waits = of(owner).spent(now).filter(locked_out_until__lte=now_ms)
    is_forgotten = When(locked_out_until__lte=now_ms - longest, then=Value(first))
    longer = Case(
        is_forgotten, default=Least(F("lockout_ms") * 2, longest), output_field=BigIntegerField()
    )
    # Two statements: MariaDB would read the new length in the same one, others the old one.
    if waits.update(lockout_ms=longer):
        of(owner).row().update(locked_out_until=now_ms + F("lockout_ms"))


def lock(owner: str, now: datetime) -> None:
    """Lock the owner against other issues until the caller's transaction ends.

    By a row of its own, which is taken before any challenge's. The budget's comes after them, as
    in ``limits.guesses.count_guess``: the other way round an issue and a guess could deadlock.
    """
    counter = Allowance("issues", owner, ())
    while not counter.row().update(kind=counter.kind):
        counter.make(now)


def locked_out_until(owner: str, now: datetime) -> datetime | None:
    """Tell until when the owner waits, if it does."""
    waits = of(owner).rows().filter(locked_out_until__gt=milliseconds(now))
    row = waits.order_by("-locked_out_until").first()
    return moment(row.locked_out_until) if row else None


def of(owner: str) -> Allowance:
    """Give an owner's budget."""
    return Allowance("failures", owner, settings.LOCKOUT_FAILURES)
