"""So many an hour and so many a day: one row a counter, one statement for all that are taken.

In: what is counted, for whom, how many, the time. Out: whether there was room, or when there is.
Knows nothing of: codes, mails, whose limits these are.

Several are taken in the order of their keys, so that no two who take them meet crosswise. The
statement adds to each, makes those that are not there, and tells what they hold now; if that is too
much, all is given back. So nothing is read and then written, and a look before spares the writing.

The generic cell rate algorithm (ITU-T I.371): a row holds the moment at which all that was taken is
regained. Taking one of 10 an hour puts it six minutes off, and there is room while it is less than
an hour ahead. So ten may come at once, then one every six minutes; no window ends at the full hour,
and nothing is kept of each. The row is found by an HMAC: who it is for stands nowhere. It is
written under the ring's current key, and looked for under all, so that a key that is rotated
forgets neither a wait nor a device; one that is revoked does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import attrgetter
from uuid import UUID

from django.db.models import F, QuerySet

from otpmail.crypto import keys
from otpmail.db import database
from otpmail.db.sql_text import each
from otpmail.db.statements import Find, Insert, Update
from otpmail.db.upserts import Upsert
from otpmail.models import Counter

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEPT = timedelta(days=7)
"""A counter that nobody wrote to for so long is at nought again, and is pruned."""

_LABEL = "otpmail counter"

_KEPT_MS = 7 * DAY_MS
_KEPT = "new(kept_until)"
_NOW = f"({_KEPT} - {_KEPT_MS})"

Insert(Counter)

_TAKE = Upsert(
    Counter,
    "hour_until",
    "day_until",
    hour_until=f"GREATEST(old.hour_until, {_NOW}) + new(hour_until) - {_NOW}",
    day_until=f"GREATEST(old.day_until, {_NOW}) + new(day_until) - {_NOW}",
    kept_until=f"GREATEST(old.kept_until, {_KEPT})",
)
"""Adds to each, or makes it."""

_MAKE = Upsert(Counter, kept_until=_KEPT)

_LOCK = Upsert(Counter, kind="new(kind)")
"""Locks each, made or there, and leaves it as it is."""

_LOOK = Find(Counter, lambda ids: Counter.objects.filter(pk__in=ids), ids=each("id"))

_GIVE_BACK = Update(
    Counter,
    lambda pk, hour, day: (
        Counter.objects.filter(pk=pk),
        {"hour_until": F("hour_until") - hour, "day_until": F("day_until") - day},
    ),
    pk="id",
    hour="hour_until",
    day="day_until",
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many an hour, and so many a day, of one kind for one owner. An empty one has no end."""

    kind: str
    name: str = field(repr=False)
    an_hour_and_a_day: Sequence[int]
    at_once: int = 1
    """How many are taken, counted and given back together."""

    def take(self, now: datetime) -> datetime | None:
        """Take it if there is room. Returns None if so, else when there is room again.

        Joins the caller's transaction, which then holds the row.
        """
        while not take([self], now):
            if retry_at := self.room_at(look([self]), now):
                return retry_at
        return None

    def room_at(self, rows: Mapping[UUID, Counter], now: datetime) -> datetime | None:
        """Tell when there is room again, by rows that were looked at. None if there is now."""
        found = self.among(rows)
        if not found:
            return None
        hour, day = self._steps()
        room_at = max(
            max(row.hour_until + hour - HOUR_MS, row.day_until + day - DAY_MS) for row in found
        )
        return moment(room_at) if room_at > milliseconds(now) else None

    def among(self, rows: Mapping[UUID, Counter]) -> list[Counter]:
        """Give its own of rows that were looked at."""
        return [rows[one] for one in self.keys() if one in rows] if self.an_hour_and_a_day else []

    def count(self, now: datetime) -> None:
        """Take one, room or no room."""
        if self.an_hour_and_a_day:
            _TAKE([self.fresh(now)])

    def give_back(self) -> None:
        """Give one back."""
        if self.an_hour_and_a_day:
            hour, day = self._steps()
            _GIVE_BACK(pk=self.key(), hour=hour, day=day)

    def make(self, now: datetime, *, kept: timedelta = KEPT) -> None:
        """Make the counter if there is none, and keep it for so long."""
        # An upsert and no INSERT IGNORE: MariaDB would then lock a row that is there for sharing,
        # and two who go on to write it are a deadlock. (One is left to it: when the very first is
        # rolled back under several who wait for it, all but one are told to try again.)
        _MAKE([self.empty(milliseconds(now + kept))])

    def row(self) -> QuerySet[Counter]:
        """Find the counter, to write it."""
        return Counter.objects.filter(pk=self.key())

    def key(self) -> UUID:
        """Name the row so that nobody can tell for whom it is."""
        return _named(keys.mac(_LABEL, self._message))

    def keys(self) -> set[UUID]:
        """Name its rows under all keys that are here."""
        return {*map(_named, keys.macs(_LABEL, self._message))}

    @property
    def _message(self) -> bytes:
        return f"{self.kind}\0{self.name}".encode(errors="surrogatepass")

    def fresh(self, now: datetime) -> Counter:
        """Give the row of a counter that had taken nothing before."""
        hour, day = self._steps()
        now_ms = milliseconds(now)
        row = self.empty(now_ms + _KEPT_MS)
        row.hour_until, row.day_until = now_ms + hour, now_ms + day
        return row

    def empty(self, kept_until: int) -> Counter:
        """Give its row when nothing is taken."""
        return Counter(id=self.key(), kind=self.kind, kept_until=kept_until)

    def last_room(self, now: datetime) -> tuple[int, int]:
        """Tell up to which of the hour's and the day's moment one more can be taken."""
        hour, day = self._steps()
        return milliseconds(now) + HOUR_MS - hour, milliseconds(now) + DAY_MS - day

    def _steps(self) -> tuple[int, int]:
        an_hour, a_day = self.an_hour_and_a_day
        return HOUR_MS // an_hour * self.at_once, DAY_MS // a_day * self.at_once


def lock(allowances: Iterable[Allowance]) -> datetime:
    """Lock them against all who lock them, until the caller's transaction ends.

    Gives the database's time then.
    """
    kept_until = milliseconds(datetime.now(UTC)) + _KEPT_MS  # of days: any clock will do
    rows = sorted((one.empty(kept_until) for one in allowances), key=attrgetter("pk"))
    *_, (now,) = _LOCK(rows)
    return database.as_time(now)


def look(allowances: Iterable[Allowance]) -> dict[UUID, Counter]:
    """Read the counters that there are, without a lock."""
    named = (one.keys() for one in allowances if one.an_hour_and_a_day)
    wanted = [*chain.from_iterable(named)]
    return {row.pk: row for row, _ in _LOOK(ids=wanted)} if wanted else {}


def take(allowances: Iterable[Allowance], now: datetime) -> bool:
    """Take of each if there is room in all, else of none. Joins the caller's transaction.

    That holds their rows from then on, so it is the last thing it does.
    """
    wanted = [one for one in allowances if one.an_hour_and_a_day]
    rows = sorted((one.fresh(now) for one in wanted), key=attrgetter("pk"))
    if not rows or _have_room(_TAKE(rows), now):
        return True
    for one in sorted(wanted, key=Allowance.key):
        one.give_back()
    return False


def _have_room(taken: Iterable[Sequence[int]], now: datetime) -> bool:
    now_ms = milliseconds(now)
    return all(
        hour_until <= now_ms + HOUR_MS and day_until <= now_ms + DAY_MS
        for hour_until, day_until, _ in taken
    )


def _named(digest: bytes) -> UUID:
    return UUID(bytes=digest[:16], version=5)  # MariaDB refuses an id of no known form


def prune(*, now: datetime, limit: int) -> int:
    """Delete up to so many counters that are at nought for long. Returns how many."""
    rows = Counter.objects.all()
    stale = rows.filter(kept_until__lte=milliseconds(now))
    found = list(stale.values_list("pk", flat=True)[:limit])
    # By key, as whoever counts writes one; and looked at again, for it may be of use by now.
    return stale.filter(pk__in=found).delete()[0] if found else 0


def milliseconds(moment: datetime) -> int:
    """Count from 1970: whole numbers are added alike on every database."""
    return round(moment.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    """Give the moment back."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
