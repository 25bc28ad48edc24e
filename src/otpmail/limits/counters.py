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

import hmac
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from uuid import UUID

from django.db import connections
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from otpmail.crypto import keys
from otpmail.crypto.keys import SigningKey
from otpmail.db import database
from otpmail.exceptions import NotHereError
from otpmail.models import Counter

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEPT = timedelta(days=7)
"""A counter that nobody wrote to for so long is at nought again, and is pruned."""

_LABEL = "otpmail counter"

_UPSERT = {
    "postgresql": ("ON CONFLICT (id) DO UPDATE SET", "EXCLUDED.{}".format, "GREATEST"),
    "sqlite": ("ON CONFLICT (id) DO UPDATE SET", "EXCLUDED.{}".format, "MAX"),
    "mysql": ("ON DUPLICATE KEY UPDATE", "VALUES({})".format, "GREATEST"),
}
"""How a database begins what it does with a row that is there, names what it was to be, and says
``Greatest``. The ORM cannot write a value that depends on both."""


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
        while self.an_hour_and_a_day and not self.row().update(**self._taken(now)):
            self.make(now)

    def give_back(self) -> None:
        """Give one back."""
        if self.an_hour_and_a_day:
            hour, day = self._steps()
            self.row().update(hour_until=F("hour_until") - hour, day_until=F("day_until") - day)

    def make(self, now: datetime, *, kept: timedelta = KEPT) -> None:
        """Make the counter if there is none, and keep it for so long."""
        # An upsert and no INSERT IGNORE: MariaDB would then lock a row that is there for sharing,
        # and two who go on to write it are a deadlock. (One is left to it: when the very first is
        # rolled back under several who wait for it, all but one are told to try again.)
        Counter.objects.bulk_create(
            [Counter(id=self.key(), kind=self.kind, kept_until=milliseconds(now + kept))],
            update_conflicts=True,
            update_fields=["kept_until"],
            unique_fields=["id"] if self._names_conflicts() else None,
        )

    def row(self) -> QuerySet[Counter]:
        """Find the counter, to write it."""
        return Counter.objects.filter(pk=self.key())

    def rows(self) -> QuerySet[Counter]:
        """Find it under each key of the ring, to read it."""
        return Counter.objects.filter(pk__in=self.keys())

    def spent(self, now: datetime) -> QuerySet[Counter]:
        """Find the counter if nothing is left of the hour's or of the day's."""
        hour, day = self._last_room(now)
        return self.row().exclude(hour_until__lte=hour, day_until__lte=day)

    def key(self) -> UUID:
        """Name the row so that nobody can tell for whom it is."""
        return self._key(keys.current())

    def keys(self) -> set[UUID]:
        """Name its rows under all keys that are here."""
        found = {self.key()}
        for older in keys.readable().values():
            with suppress(NotHereError):  # its key service is away: nobody waits for that
                found.add(self._key(older))
        return found

    def _key(self, key: SigningKey) -> UUID:
        secret = key.subkey(_LABEL)
        digest = hmac.digest(
            secret, f"{self.kind}\0{self.name}".encode(errors="surrogatepass"), "sha256"
        )
        return UUID(bytes=digest[:16], version=5)  # MariaDB refuses an id of no known form

    def fresh(self, now: datetime) -> Counter:
        """Give the row of a counter that had taken nothing before."""
        hour, day = self._steps()
        return Counter(
            id=self.key(),
            kind=self.kind,
            hour_until=milliseconds(now) + hour,
            day_until=milliseconds(now) + day,
            kept_until=milliseconds(now + KEPT),
        )

    def _taken(self, now: datetime) -> dict[str, object]:
        hour, day = self._steps()
        return {
            "hour_until": Greatest(F("hour_until"), milliseconds(now)) + hour,
            "day_until": Greatest(F("day_until"), milliseconds(now)) + day,
            "kept_until": Greatest(F("kept_until"), milliseconds(now + KEPT)),
        }

    def _steps(self) -> tuple[int, int]:
        an_hour, a_day = self.an_hour_and_a_day
        return HOUR_MS // an_hour * self.at_once, DAY_MS // a_day * self.at_once

    def _last_room(self, now: datetime) -> tuple[int, int]:
        hour, day = self._steps()
        return milliseconds(now) + HOUR_MS - hour, milliseconds(now) + DAY_MS - day

    @staticmethod
    def _names_conflicts() -> bool:
        return connections[database.alias()].features.supports_update_conflicts_with_target


def look(allowances: Iterable[Allowance]) -> dict[UUID, Counter]:
    """Read the counters that there are, without a lock."""
    wanted = (one.keys() for one in allowances if one.an_hour_and_a_day)
    return Counter.objects.in_bulk([*chain.from_iterable(wanted)])


def take(allowances: Iterable[Allowance], now: datetime) -> bool:
    """Take of each if there is room in all, else of none. Joins the caller's transaction.

    That holds their rows from then on, so it is the last thing it does.
    """
    wanted = sorted((one for one in allowances if one.an_hour_and_a_day), key=Allowance.key)
    if not wanted or all(_holds(row, now) for row in _add(wanted, now)):
        return True
    for one in wanted:
        one.give_back()
    return False


def _add(allowances: Sequence[Allowance], now: datetime) -> Iterable[Counter]:
    """Add to each, or make it. Gives them as they are now."""
    on_conflict, new, greatest = _UPSERT[connections[database.alias()].vendor]
    now_ms = milliseconds(now)
    fresh = [one.fresh(now) for one in allowances]
    fields = Counter._meta.concrete_fields
    columns = ", ".join(str(field.column) for field in fields)
    values = ", ".join(["(" + ", ".join(["%s"] * len(fields)) + ")"] * len(fresh))
    table = Counter._meta.db_table
    return Counter.objects.raw(
        f"INSERT INTO {table} ({columns}) VALUES {values} {on_conflict} "  # noqa: S608 - our own names
        f"hour_until = {greatest}({table}.hour_until, {now_ms}) + {new('hour_until')} - {now_ms}, "
        f"day_until = {greatest}({table}.day_until, {now_ms}) + {new('day_until')} - {now_ms}, "
        f"kept_until = {greatest}({table}.kept_until, {new('kept_until')}) RETURNING {columns}",
        [
            field.get_db_prep_save(getattr(row, field.attname), connections[database.alias()])
            for row in fresh
            for field in fields
        ],
    )


def _holds(row: Counter, now: datetime) -> bool:
    now_ms = milliseconds(now)
    return row.hour_until <= now_ms + HOUR_MS and row.day_until <= now_ms + DAY_MS


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
