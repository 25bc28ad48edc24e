"""The outbox: the only writes on a delivery's row.

A delivery is put in the caller's transaction; whoever works on it holds its lease; whoever holds
its lease settles, drops or releases it; a lease that lapsed, or whose owner died, is reaped. Each
write names the lease it stands on, so one that lost its lease writes nothing.

In: challenges, owners, attempts. Out: rows.
Knows nothing of: codes, mails, engines.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.db import connections
from django.db.models import F, Q, QuerySet
from django.views.decorators.debug import sensitive_variables

from otpmail import addresses, audit
from otpmail.conf import settings
from otpmail.db import database
from otpmail.db.compat import uuid7
from otpmail.db.statements import Insert, Select, Slot, Update, each
from otpmail.delivery import holders
from otpmail.models import (
    Attempt,
    Challenge,
    Delivery,
    DeliveryState,
    Lane,
    Reason,
    Reported,
    SealedMail,
)
from otpmail.models.audit import Deed
from otpmail.purposes import Purpose

REAP_LIMIT = 1000
"""Leases taken back a call; a process that died with more leaves them to the next sweeps."""

DECLINED = (
    (timedelta(seconds=5), 0),
    (timedelta(seconds=60), 1),
    (timedelta.max, 5),
)
"""How long ago a mail was promised, and how many seconds it is left alone when it is declined."""

OLDEST_SHARE = 4
"""Of a claim that cannot take all, one in so many is the oldest, so that it does not starve."""

REPORT_WEIGHTS = {
    Reported.DEFERRED: 0,
    Reported.DELIVERED: 1,
    Reported.REJECTED: 1,
    Reported.BOUNCED: 1,
    Reported.COMPLAINED: 2,
}
"""Which report takes another's place; of equals the later one, at one moment the lower one here."""


PUT_AT_ONCE = 20
"""Mails a statement; a database bounds how long one may be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where an attempt leaves its delivery: settled, or queued for so many seconds more."""

    state: DeliveryState
    reason: Reason | None = None
    wait_seconds: float | None = None
    counts: bool = True
    """Whether it is one of the attempts that a mail has."""
    is_freed: bool = False
    """Whether it waits as nobody's, since another process may be able to send it."""

    @property
    def is_held(self) -> bool:
        """Whether the lease is kept until the next attempt; a longer wait is waited in the row."""
        wait = self.wait_seconds
        return wait is not None and wait <= settings.LEASE_SECONDS and not self.is_freed


def put(challenge: Challenge, *, now: datetime, owner: str, avoid: str = "") -> Delivery:
    """Promise one mail. With an ``owner`` the row is born leased, so nobody need claim it.

    ``avoid`` is the route that it does not take while there is another.
    """
    return _put(
        challenge,
        now,
        avoid=avoid,
        leased_by=owner,
        leased_until=_lease_end(now) if owner else None,
    )


def refuse(challenge: Challenge, reason: Reason, *, now: datetime) -> Delivery:
    """Write down a mail that is not even tried: it has failed when it is asked for."""
    return _put(challenge, now, state=DeliveryState.FAILED, reason=reason, settled_at=now)


def put_mails(mails: Collection[SealedMail], *, now: datetime, owner: str) -> list[Delivery]:
    """Promise a project's own mails; each brings its delivery, with an id and a Message-ID."""
    deliveries = [mail.delivery for mail in mails]
    for delivery in deliveries:
        delivery.lane = Lane.MAIL
        delivery.created_at = delivery.due_at = now
        delivery.deadline = now + timedelta(seconds=settings.MAIL_LIFE_SECONDS)
        delivery.leased_by = owner
        delivery.leased_until = _lease_end(now) if owner else None
    _rows().bulk_create(deliveries, batch_size=PUT_AT_ONCE)
    _sealed().bulk_create(mails, batch_size=PUT_AT_ONCE)
    return deliveries


def claim(
    owner: str,
    *,
    lane: Lane,
    now: datetime,
    limit: int,
    only: Collection[UUID] | None = None,
    but: Collection[UUID] = (),
    due_by: datetime | None = None,
    is_dead: bool = False,
) -> dict[UUID, float]:
    """Lease up to so many deliveries of a lane that are due and nobody's.

    Gives how many seconds each has been due, the oldest first. Where more codes are due than that,
    one of four is among the oldest and the others are the youngest: their readers still wait.

    ``only`` are those that a hint named; without it, all are looked at, save ``but``. ``due_by`` is
    a moment before ``now`` for who leaves to others what has not been due for long. ``is_dead``
    asks for those alone that are past their deadline.
    """
    free = _rows().filter(
        state=DeliveryState.QUEUED, leased_by="", lane=lane, due_at__lte=due_by or now
    )
    if only is not None:
        free = free.filter(pk__in=only)
    if but:
        free = free.exclude(pk__in=but)
    if is_dead:
        free = free.filter(deadline__lte=now)
    if only is None and not free.exists():  # the usual case takes no lock
        return {}
    with database.atomic():
        found = _choose(free, limit, youngest_first=lane is Lane.CODE)
        free.filter(pk__in=found).update(leased_by=owner, leased_until=_lease_end(now))
        mine = _held(owner).filter(pk__in=found).order_by("due_at").values_list("pk", "due_at")
        return {pk: (now - due_at).total_seconds() for pk, due_at in mine}


def due_of(owner: str, *, now: datetime) -> list[tuple[UUID, Lane]]:
    """Name what this owner holds and is due, with its lane."""
    rows = _held(owner).filter(due_at__lte=now).values_list("pk", "lane")
    return [(pk, Lane(lane)) for pk, lane in rows]


@sensitive_variables()
def held(delivery_ids: Collection[UUID], owner: str) -> list[Delivery]:
    """Read those deliveries that this owner still holds, and their challenges."""
    return [_as_delivery(row) for row in _READ(ids=[*delivery_ids], owner=owner)]


def read_again(deliveries: Collection[Delivery], owner: str) -> list[Delivery]:
    """Read what may have ended their challenges meanwhile. Returns those this owner still holds."""
    if not deliveries:
        return []
    told = _READ_AGAIN(ids=[delivery.pk for delivery in deliveries], owner=owner)
    read = {pk: (state, generation) for pk, state, generation in told}
    for delivery in deliveries:
        if delivery.pk in read and delivery.challenge is not None:
            delivery.challenge.state, delivery.challenge.generation = read[delivery.pk]
    return [delivery for delivery in deliveries if delivery.pk in read]


def keep(delivery: Delivery, owner: str, *, now: datetime) -> bool:
    """Lengthen a lease that runs short before work begins. Returns False if it was lost.

    A row may have waited in memory for most of its lease; a fresh one costs no write here.
    """
    half = timedelta(seconds=settings.LEASE_SECONDS / 2)
    if delivery.leased_until is not None and delivery.leased_until - now >= half:
        return True
    return _KEEP(pk=delivery.pk, owner=owner, until=_lease_end(now)) == 1


def renew(delivery_ids: Collection[UUID], owner: str, *, now: datetime) -> None:
    """Lengthen the leases that run short of deliveries that are being worked on."""
    short = now + timedelta(seconds=settings.LEASE_SECONDS / 2)
    mine = _held(owner).filter(pk__in=delivery_ids, deadline__gt=now, leased_until__lt=short)
    mine.update(leased_until=_lease_end(now))


def settle(
    delivery: Delivery,
    owner: str,
    attempts: Sequence[Attempt],
    verdict: Verdict,
    *,
    now: datetime,
) -> bool:
    """Record a round's attempts and where they leave the delivery, in one transaction.

    A delivery that stays queued stays this owner's too, unless its verdict frees it. Returns False
    if the lease was lost meanwhile: then the attempts are recorded, and the row is another's, or
    gone; but an acceptance settles it all the same, so that nobody sends it again.
    """
    with database.atomic():
        kept = _leave([delivery], owner, verdict, now) == 1
        if kept:
            _insert({delivery: attempts})
            _follow([delivery], verdict, now)
        else:
            _note(delivery, attempts, now=now)
    _tell([delivery], verdict)
    return kept


def settle_accepted(
    rounds: Mapping[Delivery, Sequence[Attempt]], owner: str, *, now: datetime
) -> bool:
    """Record rounds that ended with an acceptance, as `settle` does: all, or none.

    Returns False, and nothing is written, if a lease was lost meanwhile.
    """
    verdict = Verdict(DeliveryState.ACCEPTED)
    with database.atomic():
        if _leave(rounds, owner, verdict, now) < len(rounds):
            database.roll_back()
            return False
        _insert(rounds)
        _follow(rounds, verdict, now)
    _tell(rounds, verdict)
    return True


def note(delivery: Delivery, attempts: Sequence[Attempt], *, now: datetime) -> bool:
    """Record attempts that ended apart from a round.

    An acceptance settles a delivery that still waited or had failed, whoever holds its lease.
    Returns whether one did.
    """
    with database.atomic():
        return _note(delivery, attempts, now=now)


def accept(delivery: Delivery, *, now: datetime) -> bool:
    """Settle a delivery that still waited or had failed: it became known that it was taken.

    Whoever holds its lease, who then settles it no more. Joins the caller's transaction.
    """
    verdict = Verdict(DeliveryState.ACCEPTED)
    open_ = _rows().filter(pk=delivery.pk, state__in=[DeliveryState.QUEUED, DeliveryState.FAILED])
    settled = open_.update(**_changes(verdict, now)) == 1
    if settled:
        _follow([delivery], verdict, now)
    return settled


def routes_used(delivery: Delivery) -> list[str]:
    """Name the routes that took a mail of its challenge, or may have: the last one at the end."""
    mine = Q(delivery=delivery.pk)
    if delivery.challenge_id is not None:
        mine = Q(delivery__challenge=delivery.challenge_id)
    used = Attempt.objects.filter(mine, outcome__in=["accepted", "unknown"])
    routes = [*used.order_by("pk").values_list("route", flat=True), *filter(None, [delivery.avoid])]
    return list(dict.fromkeys(reversed(routes)))[::-1]


def attempts_by(delivery: Delivery, route: str) -> list[Attempt]:
    """Read what came of its attempts by a route."""
    return [*Attempt.objects.using(database.alias()).filter(delivery=delivery.pk, route=route)]


def drop(delivery: Delivery, owner: str, reason: Reason, *, now: datetime) -> bool:
    """Settle a delivery without an attempt: sending it has become pointless."""
    verdict = Verdict(DeliveryState.DROPPED, reason=reason, counts=False)
    delivery.state, delivery.reason = verdict.state, reason
    with database.atomic():
        kept = _leave([delivery], owner, verdict, now) == 1
        if kept:
            _follow([delivery], verdict, now)
    return kept


def report(delivery_id: UUID, word: Reported, *, at: datetime, reason: str) -> bool:
    """Write down what a provider told, at any moment of the row's life. Returns whether it counts.

    The row keeps one report, the same whatever order they come in: a complaint before all else, a
    deferral after all else, and of the other three what happened last.
    """
    weight = REPORT_WEIGHTS[word]
    lighter = [other for other in Reported if REPORT_WEIGHTS[other] < weight]
    peers = [other for other in Reported if REPORT_WEIGHTS[other] == weight]
    yields = (
        Q(reported__in=["", *lighter])
        | Q(reported__in=peers, reported_at__lt=at)
        | Q(reported__in=peers[: peers.index(word)], reported_at=at)
    )
    rows = _rows().filter(yields, pk=delivery_id)
    return rows.update(reported=word, reported_at=at, reported_reason=reason) == 1


def is_behind(*, now: datetime, seconds: float) -> bool:
    """Tell whether a code's mail that was due so long ago still waits for a courier."""
    since = now - timedelta(seconds=seconds)
    codes = _rows().filter(lane=Lane.CODE)
    nobodys = codes.filter(state=DeliveryState.QUEUED, leased_by="", due_at__lte=since)
    # A lease is counted from the moment when its mail was due, or was last worked on.
    waiting = codes.filter(leased_until__isnull=False, leased_until__lte=_lease_end(since))
    return nobodys.exists() or waiting.exists()


def release(owner: str, *, but: Collection[UUID] = (), only: Collection[UUID] | None = None) -> int:
    """Give back all that this owner holds, or only some, save what it still works on."""
    rows = _held(owner) if only is None else _held(owner).filter(pk__in=only)
    return rows.exclude(pk__in=but).update(leased_by="", leased_until=None)


def decline(deliveries: Collection[Delivery], owner: str, *, now: datetime) -> None:
    """Free those that this owner's process cannot send now, for others or for later.

    A fresh one is due at once, behind those that were due before; an older one later, so that what
    nobody can send is not looked at again and again.
    """
    for delivery in deliveries:
        age = now - delivery.created_at
        seconds = next(wait for until, wait in DECLINED if age < until)
        rows = _held(owner).filter(pk=delivery.pk)
        due_at = now + timedelta(seconds=seconds)
        rows.update(leased_by="", leased_until=None, due_at=due_at)


def note_unrendered(delivery: Delivery, owner: str) -> None:
    """Write down that this owner's process cannot make the mail."""
    _held(owner).filter(pk=delivery.pk, is_unrendered=False).update(is_unrendered=True)


def reap(*, now: datetime) -> list[UUID]:
    """Take leases from owners that let them lapse or died. Returns what was theirs."""
    leased = _rows().filter(leased_until__isnull=False)
    known = leased.order_by().values_list("leased_by", flat=True).distinct()
    dead = [owner for owner in known if holders.is_dead(owner)]
    lost = leased.filter(Q(leased_until__lte=now) | Q(leased_by__in=dead))
    found = list(lost.values_list("pk", flat=True)[:REAP_LIMIT])
    if found:  # the usual case takes no write lock
        # By key, as whoever settles one writes: in two orders MariaDB would find a deadlock.
        lost.filter(pk__in=found).update(leased_by="", leased_until=None)
    return found


def take_over(
    delivery_ids: Collection[UUID], reason: Reason | None, *, now: datetime
) -> list[UUID]:
    """Take queued deliveries from whoever holds them: free for all, or dropped with a reason.

    Only for a database that was restored from a dump (``operations.restoring``), whose holders are
    elsewhere. Returns those that were still queued.
    """
    verdict = Verdict(DeliveryState.DROPPED, reason=reason)
    changes = _changes(verdict, now) if reason else {"leased_by": "", "leased_until": None}
    with database.atomic():
        queued = _rows().filter(pk__in=delivery_ids, state=DeliveryState.QUEUED)
        found = list(queued.select_for_update().order_by("pk"))
        taken = [delivery.pk for delivery in found]
        _rows().filter(pk__in=taken).update(**changes)
        if reason:
            _follow(found, verdict, now)
    return taken


def _put(challenge: Challenge, now: datetime, **columns: object) -> Delivery:
    delivery_id = uuid7()
    delivery = Delivery(
        id=delivery_id,
        challenge=challenge,
        generation=challenge.generation,
        message_id=f"<{delivery_id}@{_sender_domain()}>",
        created_at=now,
        due_at=now,
        deadline=challenge.expires_at - Purpose(challenge.purpose).dead_mail,
        **columns,
    )
    _ADD(delivery)
    return delivery


def _choose(free: QuerySet[Delivery], limit: int, *, youngest_first: bool) -> list[UUID]:
    """Lock up to so many: the oldest, or where there are more, few of them and the youngest."""
    skip_locked = connections[database.alias()].features.has_select_for_update_skip_locked
    keys = free.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True)
    share = max(1, limit // OLDEST_SHARE) if youngest_first else limit
    oldest = list(keys.order_by("due_at")[:share])
    if len(oldest) < share or share == limit:
        return oldest
    youngest = keys.exclude(pk__in=oldest).order_by("-due_at")
    return oldest + list(youngest[: limit - share])


def _rows() -> QuerySet[Delivery]:
    return Delivery.objects.all()


def _sealed() -> QuerySet[SealedMail]:
    return SealedMail.objects.all()


def _note(delivery: Delivery, attempts: Sequence[Attempt], *, now: datetime) -> bool:
    accepted = any(attempt.outcome == DeliveryState.ACCEPTED for attempt in attempts)
    settled = accepted and accept(delivery, now=now)
    state = DeliveryState.ACCEPTED if settled else _state_of(delivery)
    if state is not None:  # else it was erased meanwhile
        _insert({delivery: attempts})
    if accepted and state == DeliveryState.DROPPED:  # it was mailed all the same
        audit.write(Deed.MAILED, *filter(None, [delivery.challenge]), now=now)
    return settled


def _leave(rows: Collection[Delivery], owner: str, verdict: Verdict, now: datetime) -> int:
    """Write a verdict on the rows that this owner still holds. Returns how many.

    Comes before their attempts: a foreign key locks a row for sharing, and on MariaDB two who then
    want it for writing are a deadlock.
    """
    mine = {
        "ids": [delivery.pk for delivery in rows],
        "owner": owner,
        "counted": int(verdict.counts),
    }
    if verdict.wait_seconds is None:
        return _SETTLE(**mine, state=verdict.state, reason=verdict.reason or "", now=now)
    due_at = now + timedelta(seconds=verdict.wait_seconds)
    if verdict.is_held:
        return _HOLD(**mine, due_at=due_at, until=_lease_end(due_at))
    return _FREE(**mine, due_at=due_at)


def _tell(rows: Collection[Delivery], verdict: Verdict) -> None:
    """Write it on what was read of them."""
    for delivery in rows:
        delivery.state, delivery.reason = verdict.state, verdict.reason or ""
        delivery.attempted += verdict.counts


def _insert(rounds: Mapping[Delivery, Sequence[Attempt]]) -> None:
    for delivery, attempts in rounds.items():
        for attempt in attempts:
            attempt.delivery = delivery
            _ADD_ATTEMPT(attempt)


def _follow(rows: Collection[Delivery], verdict: Verdict, now: datetime) -> None:
    if verdict.state is DeliveryState.ACCEPTED:
        codes = [delivery.challenge for delivery in rows if delivery.challenge is not None]
        audit.write(Deed.MAILED, *codes, now=now)
    mails = [delivery.pk for delivery in rows if delivery.lane == Lane.MAIL]
    if mails and verdict.state is not DeliveryState.QUEUED:
        _sealed().filter(delivery__in=mails).delete()


def _state_of(delivery: Delivery) -> str | None:
    return _rows().filter(pk=delivery.pk).values_list("state", flat=True).first()


def _held(owner: str) -> QuerySet[Delivery]:
    return _rows().filter(leased_by=owner, state=DeliveryState.QUEUED)


def _as_delivery(row: Sequence[Any]) -> Delivery:
    delivery = Delivery.from_db(database.alias(), _DELIVERY, row[: len(_DELIVERY)])
    if delivery.challenge_id is not None:
        columns = row[len(_DELIVERY) :]
        delivery.challenge = Challenge.from_db(database.alias(), _CHALLENGE, columns)
    return delivery


# The statements of a round, each written once by the ORM.

_DELIVERY = [field.attname for field in Delivery._meta.concrete_fields]
_CHALLENGE = [field.attname for field in Challenge._meta.concrete_fields]
_MINE: dict[str, Slot] = {"ids": each("id"), "owner": "leased_by"}
_LEFT: dict[str, Slot] = {**_MINE, "counted": "attempted"}

_ADD = Insert(Delivery)
_ADD_ATTEMPT = Insert(Attempt)


def _mine(ids: Collection[UUID], owner: str) -> QuerySet[Delivery]:
    return _held(owner).filter(pk__in=ids)


_READ = Select(
    Delivery,
    lambda ids, owner: _mine(ids, owner).values_list(
        *_DELIVERY, *(f"challenge__{name}" for name in _CHALLENGE)
    ),
    **_MINE,
)
_READ_AGAIN = Select(
    Delivery,
    lambda ids, owner: _mine(ids, owner).values_list(
        "pk", "challenge__state", "challenge__generation"
    ),
    **_MINE,
)
_KEEP = Update(
    Delivery,
    lambda pk, owner, until: (_held(owner).filter(pk=pk), {"leased_until": until}),
    pk="id",
    owner="leased_by",
    until="leased_until",
)
_SETTLE = Update(
    Delivery,
    lambda ids, owner, counted, state, reason, now: (
        _mine(ids, owner),
        {
            "attempted": F("attempted") + counted,
            "state": state,
            "reason": reason,
            "settled_at": now,
            "leased_by": "",
            "leased_until": None,
        },
    ),
    **_LEFT,
    state="state",
    reason="reason",
    now="settled_at",
)
_HOLD = Update(
    Delivery,
    lambda ids, owner, counted, due_at, until: (
        _mine(ids, owner),
        {"attempted": F("attempted") + counted, "due_at": due_at, "leased_until": until},
    ),
    **_LEFT,
    due_at="due_at",
    until="leased_until",
)
_FREE = Update(
    Delivery,
    lambda ids, owner, counted, due_at: (
        _mine(ids, owner),
        {
            "attempted": F("attempted") + counted,
            "due_at": due_at,
            "leased_by": "",
            "leased_until": None,
        },
    ),
    **_LEFT,
    due_at="due_at",
)


def _changes(verdict: Verdict, now: datetime) -> dict[str, object]:
    return {
        "state": verdict.state,
        "reason": verdict.reason or "",
        "settled_at": now,
        "leased_by": "",
        "leased_until": None,
    }


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_SECONDS)


def _sender_domain() -> str:
    return addresses.domain_of(settings.FROM or django_settings.DEFAULT_FROM_EMAIL) or "localhost"
