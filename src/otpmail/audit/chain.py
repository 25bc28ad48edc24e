"""A chain over the audit: who changes, adds or takes away an entry afterwards is found out.

1. Entries are added without it: no statement of a request, and no row that writers share.
2. Once a minute an engine seals what is new: a digest of each entry, and one over those, the seal
   before and its number. All are keyed, so whoever only writes the database makes none.
3. Two engines at once write one number, and one of them fails: that is the whole lock.
4. An entry may be committed after one with a higher id. So a seal lists which ids were not there
   yet, and a later one takes those that came.
5. What is told of a person has a digest of its own: it may be emptied where an entry says so.
6. What is older than ``OTPMAIL_AUDIT_KEEP_DAYS`` may go once a seal says up to where. The newest
   seal stays, and the database takes none but the next (migration 0001).

In: the audit's rows, the time. Out: seals; what is wrong, in words.
Knows nothing of: what an entry tells.

Who holds the keys and the database can make another chain, and who cuts off its end leaves a whole
one: write the last seal down elsewhere (``otpmail_audit`` prints it) to find that out.
"""

import hmac
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet

from otpmail.conf import settings
from otpmail.crypto import keys
from otpmail.db import database
from otpmail.db.database import RowSet
from otpmail.exceptions import NotHereError
from otpmail.models import Challenge
from otpmail.models.audit import PERSONAL, AuditAction, AuditEntry, AuditSeal

STEP = 1000
"""Entries a seal; and ids that a seal says are missing, the newest."""

LEAST_DAYS = 7
"""No setting and no seal lets an entry be deleted sooner (migration 0001)."""

_SUBKEY = "otpmail audit chain"
_ENTRY = struct.Struct(">Q32s32s")
_TOLD = ("pk", "at", "action", "challenge_id", "generation", "purpose", "key_id")
_START = AuditSeal(number=0, last=0, pruned=0, missing=[], digest=bytes(32))


def seal(*, now: datetime) -> bool:
    """Seal what is new. Returns whether there may be more. A key that is away leaves it."""
    try:
        return _add(_newest(), now)
    except (IntegrityError, NotHereError):  # another process did it, or can
        return False


def prune(*, now: datetime) -> int:
    """Delete what is older than the setting says, with its seals. Returns how many entries went."""
    if not settings.AUDIT_KEEP_DAYS:
        return 0
    before = now - timedelta(days=settings.AUDIT_KEEP_DAYS)
    old = AuditSeal.objects.filter(at__lt=before).order_by("-number").first()
    if old is None:
        return 0
    if _newest().pruned < old.last:
        _add(_newest(), now, pruned=old.last)
    # Plain rows, since the models' own refuse; the database lets pass what a seal says is over.
    entries: QuerySet[Any] = RowSet(AuditEntry).filter(pk__lte=old.last, at__lt=before)
    deleted = _delete(entries)
    _delete(RowSet(AuditSeal).filter(pk__lte=old.number, pk__lt=_newest().number))
    return deleted


def anchor() -> str:
    """Name the last seal, to be kept elsewhere: ``<number>:<digest>``; empty if there is none."""
    newest = _newest()
    return f"{newest.number}:{bytes(newest.digest).hex()}" if newest.number else ""


def problems(expected: str = "") -> Iterator[str]:
    """Tell what is wrong with entries and seals. ``expected`` is an `anchor` of before."""
    walk = _Walk(_newest())
    if not walk.newest.number and (AuditEntry.objects.exists() or Challenge.objects.exists()):
        yield "there is no seal: none was made yet, or all were taken away"
    for one in AuditSeal.objects.order_by("number").iterator(chunk_size=10):
        yield from walk.over(one)
    yield from walk.end()
    number, _, digest = expected.partition(":")
    if expected and not walk.is_known(number, digest):
        yield f"seal {number} is not the one that was expected"


@dataclass(slots=True)
class _Walk:
    """A walk over all seals, the oldest first."""

    newest: AuditSeal
    before: AuditSeal = field(default_factory=lambda: _START)
    beside: set[int] = field(default_factory=set)
    """Entries in the range of a seal that it does not know: a later one may."""
    digests: dict[str, str] = field(default_factory=dict)

    def over(self, one: AuditSeal) -> Iterator[str]:
        """Look at one seal and at its entries."""
        if not self._follows(one):
            yield f"seals before {one.number} are missing"
        self.before = one
        self.digests[str(one.number)] = bytes(one.digest).hex()
        try:
            yield from self._under(keys.find(one.key_id), one)
        except NotHereError:
            yield f"seal {one.number} stands under a key that is not here: {one.key_id!r}"

    def _under(self, key: keys.SigningKey | None, one: AuditSeal) -> Iterator[str]:
        if key is None:
            yield f"seal {one.number} stands under {one.key_id!r}, which is revoked"
            return
        if not hmac.compare_digest(_digest(key, one), bytes(one.digest)):
            yield f"seal {one.number} was changed"
        yield from self._entries(key, one)

    def _follows(self, one: AuditSeal) -> bool:
        if self.before.number:
            links = (one.number - 1, bytes(one.previous), one.after)
            return links == (self.before.number, bytes(self.before.digest), self.before.last)
        return one.number == 1 or one.after <= self.newest.pruned

    def _entries(self, key: keys.SigningKey, one: AuditSeal) -> Iterator[str]:
        sealed = {pk: (told, whose) for pk, told, whose in _ENTRY.iter_unpack(bytes(one.entries))}
        rows = AuditEntry.objects.in_bulk(sealed)
        for pk, (told, whose) in sealed.items():
            if pk not in rows:
                if pk > self.newest.pruned:
                    yield f"entry {pk} is missing"
            elif told != _told(key, rows[pk]):
                yield f"entry {pk} was changed"
            elif whose != _whose(key, rows[pk]) and not _is_erased(rows[pk]):
                yield f"entry {pk} was changed in what it tells of a person"
        there = AuditEntry.objects.filter(pk__gt=one.after, pk__lte=one.last)
        self.beside |= {*there.values_list("pk", flat=True)} - sealed.keys()
        self.beside -= sealed.keys()

    def end(self) -> Iterator[str]:
        """Tell of what no seal knows."""
        for pk in sorted(self.beside - {*self.newest.missing}):
            yield f"entry {pk} was added beside the chain"

    def is_known(self, number: str, digest: str) -> bool:
        """Tell whether this seal is there, or was and is over."""
        first = min(map(int, self.digests), default=0)
        pruned = number.isdecimal() and int(number) < first
        return pruned or hmac.compare_digest(self.digests.get(number, ""), digest)


def _add(before: AuditSeal, now: datetime, *, pruned: int | None = None) -> bool:
    fresh = AuditEntry.objects.filter(pk__gt=before.last).order_by("pk")[:STEP]
    late = AuditEntry.objects.filter(pk__in=before.missing) if before.missing else []
    entries = [*late, *fresh]
    if not entries and pruned is None:
        return False
    key = keys.current()
    one = AuditSeal(
        number=before.number + 1,
        at=now,
        key_id=key.id,
        after=before.last,
        last=max((before.last, *(entry.pk for entry in fresh))),
        pruned=before.pruned if pruned is None else pruned,
        entries=b"".join(_ENTRY.pack(e.pk, _told(key, e), _whose(key, e)) for e in entries),
        previous=bytes(before.digest),
    )
    one.missing = _missing(before, one, {entry.pk for entry in entries})
    one.digest = _digest(key, one)
    with database.atomic():
        one.save()
    return len(fresh) == STEP


def _missing(before: AuditSeal, one: AuditSeal, found: Iterable[int]) -> list[int]:
    new = range(max(before.last, one.last - STEP) + 1, one.last + 1)
    return sorted({*before.missing, *new} - {*found})[-STEP:]


def _newest() -> AuditSeal:
    return AuditSeal.objects.order_by("-number").first() or _START


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while step := list(rows.order_by("pk").values_list("pk", flat=True)[:STEP]):
        deleted += rows.filter(pk__in=step).delete()[0]
    return deleted


def _told(key: keys.SigningKey, entry: AuditEntry) -> bytes:
    return _mac(key, [_plain(getattr(entry, name)) for name in _TOLD])


def _whose(key: keys.SigningKey, entry: AuditEntry) -> bytes:
    return _mac(key, [entry.pk, *(getattr(entry, name) for name in PERSONAL)])


def _is_erased(entry: AuditEntry) -> bool:
    if any(getattr(entry, name) for name in PERSONAL):
        return False
    erased = AuditEntry.objects.filter(challenge_id=entry.challenge_id, action=AuditAction.ERASED)
    return erased.exists()


def _digest(key: keys.SigningKey, one: AuditSeal) -> bytes:
    columns = ("number", "at", "key_id", "after", "last", "missing", "pruned")
    values = [_plain(getattr(one, name)) for name in columns]
    return _mac(key, values, bytes(one.previous) + bytes(one.entries))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        # A fixture in JSON keeps no more, and the chain is to outlive a move by one.
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    return value if isinstance(value, int | list) else str(value)


def _mac(key: keys.SigningKey, values: Sequence[Any], more: bytes = b"") -> bytes:
    return key.mac(_SUBKEY, json.dumps(values).encode() + b"\0" + more)
