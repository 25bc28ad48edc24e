"""How many wrong codes one owner bears over all challenges, and how long it waits after that.

In: an owner, the time. Out: until when no new challenge is made for it.
Knows nothing of: codes, how a wrong one is told.

A failure counts only for a challenge that the caller named by its id and owns, so that knowing
somebody's address or number spends nothing of theirs. When the last of the budget is gone the
owner waits, at first 15 minutes, then twice as long each time, at most 24 hours: never for good.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import BigIntegerField, Case, F, Value, When
from django.db.models.functions import Least

from otpmail.conf import settings
from otpmail.db.statements import Update
from otpmail.limits import counters
from otpmail.limits.counters import Allowance, milliseconds, moment
from otpmail.models import Counter


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
    budget, now_ms = of(owner), milliseconds(now)
    hour, day = budget.last_room(now)
    # Two statements: MariaDB would read the new length in the same one, others the old one.
    if _LENGTHEN(
        pk=budget.key(),
        hour=hour,
        day=day,
        now=now_ms,
        forgotten=now_ms - longest,
        first=first,
        longest=longest,
    ):
        _BEGIN(pk=budget.key(), now=now_ms)


def lock(*owners: str) -> datetime:
    """Lock owners against other issues until the caller's transaction ends. Gives the time then.

    By rows of their own, which are taken before any challenge's. The budgets' come after them, as
    in ``guesses_and_resends.count_guess``: the other way round an issue and a guess could deadlock.
    """
    return counters.lock(Allowance("issues", owner, ()) for owner in owners)


def locked_out_until(
    budget: Allowance, rows: Mapping[UUID, Counter], now: datetime
) -> datetime | None:
    """Tell until when its owner waits, if it does, by rows that were looked at."""
    until = max((row.locked_out_until for row in budget.among(rows)), default=0)
    return moment(until) if until > milliseconds(now) else None


def of(owner: str) -> Allowance:
    """Give an owner's budget."""
    return Allowance("failures", owner, settings.LOCKOUT_FAILURES)


def _longer(first: int, longest: int, forgotten: int) -> Case:
    is_forgotten = When(locked_out_until__lte=forgotten, then=Value(first))
    twice = Least(F("lockout_ms") * 2, Value(longest))
    return Case(is_forgotten, default=twice, output_field=BigIntegerField())


_LENGTHEN = Update(
    Counter,
    lambda pk, hour, day, now, forgotten, first, longest: (
        Counter.objects.filter(pk=pk, locked_out_until__lte=now).exclude(
            hour_until__lte=hour, day_until__lte=day
        ),
        {"lockout_ms": _longer(first, longest, forgotten)},
    ),
    pk="id",
    hour="hour_until",
    day="day_until",
    now="locked_out_until",
    forgotten="locked_out_until",
    first="lockout_ms",
    longest="lockout_ms",
)

_BEGIN = Update(
    Counter,
    lambda pk, now: (Counter.objects.filter(pk=pk), {"locked_out_until": F("lockout_ms") + now}),
    pk="id",
    now="locked_out_until",
)
