"""Where a round leaves its delivery: its attempts, and what its row says then.

Each write names the lease it stands on, so one that lost its lease writes nothing; but that a mail
was accepted is written whoever holds it, so that nobody sends it again.

In: deliveries and their holder, attempts, a `Disposition`. Out: rows.
Knows nothing of: how a disposition is found.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Model

from otpmail import audit
from otpmail.conf import settings
from otpmail.db import database
from otpmail.db.sql_text import Slot, each
from otpmail.db.statements import Bound, Delete, Insert, Update, add, change, inserting
from otpmail.delivery import lease_rows, leases
from otpmail.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Queue,
    Reason,
    StoredMessage,
)
from otpmail.models.audit import AuditAction


@dataclass(frozen=True, slots=True)
class Disposition:
    """Where an attempt leaves its delivery: settled, or queued for so many seconds more."""

    state: DeliveryState
    reason: Reason | None = None
    wait_seconds: float | None = None
    counts: bool = True
    """Whether it is one of the attempts that a mail has."""
    frees_lease: bool = False
    """Whether it waits as nobody's, since another process may be able to send it."""

    @property
    def keeps_lease(self) -> bool:
        """Whether the lease is kept until the next attempt; a longer wait is waited in the row."""
        wait = self.wait_seconds
        return wait is not None and wait <= settings.LEASE_SECONDS and not self.frees_lease


def settle(
    delivery: Delivery,
    holder: str,
    attempts: Sequence[Attempt],
    disposition: Disposition,
    *,
    now: datetime,
) -> bool:
    """Record a round's attempts and where they leave the delivery, in one transaction.

    A delivery that stays queued stays this holder's too, unless its disposition frees it. Returns
    False if the lease was lost meanwhile: then the attempts are recorded, and the row is another's,
    or gone; but an acceptance settles it all the same, so that nobody sends it again.
    """
    then = _after([delivery], {delivery: attempts}, disposition, now)
    kept = change(_leaving([delivery], holder, disposition, now), *then) == 1
    if not kept:
        note(delivery, attempts, now=now)
    _tell([delivery], disposition)
    return kept


def settle_accepted(
    rounds: Mapping[Delivery, Sequence[Attempt]], holder: str, *, now: datetime
) -> bool:
    """Record rounds that ended with an acceptance, as `settle` does: all, or none.

    Returns False, and nothing is written, if a lease was lost meanwhile.
    """
    disposition = Disposition(DeliveryState.ACCEPTED)
    then = _after(rounds, rounds, disposition, now)
    with database.atomic():
        if change(_leaving(rounds, holder, disposition, now), *then) < len(rounds):
            database.roll_back()
            return False
    _tell(rounds, disposition)
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
    disposition = Disposition(DeliveryState.ACCEPTED)
    return (
        change(_ACCEPT.bound(pk=delivery.pk, now=now), *_after([delivery], {}, disposition, now))
        == 1
    )


def drop(delivery: Delivery, holder: str, reason: Reason, *, now: datetime) -> bool:
    """Settle a delivery without an attempt: sending it has become pointless."""
    disposition = Disposition(DeliveryState.DROPPED, reason=reason, counts=False)
    delivery.state, delivery.reason = disposition.state, reason
    then = _after([delivery], {}, disposition, now)
    return change(_leaving([delivery], holder, disposition, now), *then) == 1


def take_over(
    delivery_ids: Collection[UUID], reason: Reason | None, *, now: datetime
) -> list[UUID]:
    """Take queued deliveries from whoever holds them: free for all, or dropped with a reason.

    Only for a database that was restored from a dump (``operations.restoring``), whose holders are
    elsewhere. Returns those that were still queued.
    """
    changes: dict[str, object] = {"leased_by": "", "leased_until": None}
    if reason:
        changes |= {"state": DeliveryState.DROPPED, "reason": reason, "settled_at": now}
    with database.atomic():
        queued = Delivery.objects.filter(pk__in=delivery_ids, state=DeliveryState.QUEUED)
        found = list(queued.select_for_update().order_by("pk"))
        taken = [delivery.pk for delivery in found]
        Delivery.objects.filter(pk__in=taken).update(**changes)
        if reason and (mails := _mails(found)):
            _ERASE(ids=mails)
    return taken


def _note(delivery: Delivery, attempts: Sequence[Attempt], *, now: datetime) -> bool:
    accepted = any(attempt.outcome == DeliveryState.ACCEPTED for attempt in attempts)
    settled = accepted and accept(delivery, now=now)
    state = DeliveryState.ACCEPTED if settled else _state_of(delivery)
    if state is not None:  # else it was erased meanwhile
        add(*_of({delivery: attempts}))
    if accepted and state == DeliveryState.DROPPED:  # it was mailed all the same
        audit.write(AuditAction.MAILED, *filter(None, [delivery.challenge]), now=now)
    return settled


def _leaving(
    rows: Collection[Delivery], holder: str, disposition: Disposition, now: datetime
) -> Bound:
    """Write a disposition on the rows that this holder still holds.

    Comes before their attempts: a foreign key locks a row for sharing, and on MariaDB two who then
    want it for writing are a deadlock.
    """
    mine = {
        "ids": [delivery.pk for delivery in rows],
        "holder": holder,
        "counted": int(disposition.counts),
    }
    if disposition.wait_seconds is None:
        return _SETTLE.bound(
            **mine, state=disposition.state, reason=disposition.reason or "", now=now
        )
    due_at = now + timedelta(seconds=disposition.wait_seconds)
    if disposition.keeps_lease:
        return _HOLD.bound(**mine, due_at=due_at, until=leases.lease_end(due_at))
    return _FREE.bound(**mine, due_at=due_at)


def _after(
    rows: Collection[Delivery],
    rounds: Mapping[Delivery, Sequence[Attempt]],
    disposition: Disposition,
    now: datetime,
) -> list[Bound]:
    """Give what else is written with a disposition."""
    written: list[Model] = _of(rounds)
    if disposition.state is DeliveryState.ACCEPTED:
        codes = [delivery.challenge for delivery in rows if delivery.challenge is not None]
        written += audit.entries(AuditAction.MAILED, *codes, now=now)
    then = [inserting(row) for row in written]
    mails = _mails(rows)
    if mails and disposition.state is not DeliveryState.QUEUED:
        then.append(_ERASE.bound(ids=mails))
    return then


def _tell(rows: Collection[Delivery], disposition: Disposition) -> None:
    """Write it on what was read of them."""
    for delivery in rows:
        delivery.state, delivery.reason = disposition.state, disposition.reason or ""
        delivery.rounds += disposition.counts


def _of(rounds: Mapping[Delivery, Sequence[Attempt]]) -> list[Model]:
    for delivery, attempts in rounds.items():
        for attempt in attempts:
            attempt.delivery = delivery
    return [attempt for attempts in rounds.values() for attempt in attempts]


def _mails(rows: Iterable[Delivery]) -> list[UUID]:
    return [delivery.pk for delivery in rows if delivery.queue == Queue.MAIL]


def _state_of(delivery: Delivery) -> str | None:
    return Delivery.objects.filter(pk=delivery.pk).values_list("state", flat=True).first()


_LEFT: dict[str, Slot] = {**lease_rows.MINE, "counted": "rounds"}


Insert(Attempt)


_ERASE = Delete(
    StoredMessage,
    lambda ids: StoredMessage.objects.filter(delivery__in=ids),
    ids=each("delivery"),
)


_ACCEPT = Update(
    Delivery,
    lambda pk, now: (
        Delivery.objects.filter(pk=pk, state__in=[DeliveryState.QUEUED, DeliveryState.FAILED]),
        {
            "state": DeliveryState.ACCEPTED,
            "reason": "",
            "settled_at": now,
            "leased_by": "",
            "leased_until": None,
        },
    ),
    pk="id",
    now="settled_at",
)


_SETTLE = Update(
    Delivery,
    lambda ids, holder, counted, state, reason, now: (
        lease_rows.held_among(ids, holder),
        {
            "rounds": F("rounds") + counted,
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
    lambda ids, holder, counted, due_at, until: (
        lease_rows.held_among(ids, holder),
        {"rounds": F("rounds") + counted, "due_at": due_at, "leased_until": until},
    ),
    **_LEFT,
    due_at="due_at",
    until="leased_until",
)


_FREE = Update(
    Delivery,
    lambda ids, holder, counted, due_at: (
        lease_rows.held_among(ids, holder),
        {
            "rounds": F("rounds") + counted,
            "due_at": due_at,
            "leased_by": "",
            "leased_until": None,
        },
    ),
    **_LEFT,
    due_at="due_at",
)
