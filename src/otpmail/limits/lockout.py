"""How many wrong codes one subject bears over all challenges, and how long it waits after that.

In: a subject, the time. Out: until when no new challenge is made for it.
Knows nothing of: codes, how a wrong one is told.

A failure counts only for a challenge that the caller named by its id and owns, so that knowing
somebody's address or number spends nothing of theirs. When the last of the budget is gone the
subject waits, at first 15 minutes, then twice as long each time, at most 24 hours: never for good.
"""

from datetime import datetime

from django.db.models import BigIntegerField, Case, F, Value, When
from django.db.models.functions import Least

from otpmail.conf import settings
from otpmail.limits.counters import Allowance, milliseconds, moment


def count(subject: str, now: datetime) -> None:
    """Count a failure, before the code is looked at. Joins the caller's transaction."""
    of(subject).count(now)


def give_back(subject: str) -> None:
    """Give it back: the code was right."""
    of(subject).give_back()


def enforce(subject: str, now: datetime) -> None:
    """Begin a wait if the budget is spent and none has begun. Called when a code was wrong."""
    if not settings.FAILURE_BUDGET:
        return
    first, longest = (seconds * 1000 for seconds in settings.BLOCK_SECONDS)
    now_ms = milliseconds(now)
    waits = of(subject).spent(now).filter(blocked_until__lte=now_ms)
    is_forgotten = When(blocked_until__lte=now_ms - longest, then=Value(first))
    longer = Case(
        is_forgotten, default=Least(F("block_ms") * 2, longest), output_field=BigIntegerField()
    )
    # Two statements: MariaDB would read the new length in the same one, others the old one.
    if waits.update(block_ms=longer):
        of(subject).row().update(blocked_until=now_ms + F("block_ms"))


def hold(subject: str, now: datetime) -> None:
    """Lock the subject against other issues until the caller's transaction ends.

    By a row of its own, which is taken before any challenge's. The budget's comes after them, as
    in ``limits.guesses.take_guess``: the other way round, an issue and a guess could be a deadlock.
    """
    lock = Allowance("issues", subject, ())
    while not lock.row().update(kind=lock.kind):
        lock.make(now)


def blocked_until(subject: str, now: datetime) -> datetime | None:
    """Tell until when the subject waits, if it does."""
    waits = of(subject).rows().filter(blocked_until__gt=milliseconds(now))
    row = waits.order_by("-blocked_until").first()
    return moment(row.blocked_until) if row else None


def of(subject: str) -> Allowance:
    """Give a subject's budget."""
    return Allowance("failures", subject, settings.FAILURE_BUDGET)
