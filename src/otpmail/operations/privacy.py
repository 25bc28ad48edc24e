"""What is kept of a person: told to them, or erased.

In: an address, or an owner, or both. Out: their rows as plain values; or how many were erased.
Knows nothing of: who may ask.

A challenge is a person's if it was mailed to their address or is their owner's; its deliveries
and attempts go with it. The audit outlives both: what it tells of a person is told to them too, and
emptied when they are erased. Log lines hold masked addresses only, and are not searched.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from otpmail import addresses, audit, closing
from otpmail.db import database
from otpmail.limits import suppressions
from otpmail.models import Challenge, ChallengeState
from otpmail.operations.deleting import Deleted, KeptRow, delete, stayed

SECRET = {"nonce", "older_nonces", "binding", "binding_version", "is_bound", "key_id"}
"""Columns of a challenge that say nothing of a person, and of which a code is made."""

OF_A_CHALLENGE = [
    "id",
    "purpose",
    "owner",
    "recipient",
    "language",
    "time_zone",
    "context",
    "is_decoy",
    "digits",
    "generation",
    "state",
    "failures",
    "sends",
    "created_at",
    "expires_at",
    "closes_at",
    "resend_at",
    "held_until",
    "ended_at",
]
OF_A_DELIVERY = [
    "id",
    "generation",
    "message_id",
    "state",
    "reason",
    "event",
    "event_at",
    "event_reason",
    "created_at",
    "settled_at",
]
OF_AN_ENTRY = ["at", "action", "generation", "purpose", "recipient", "address", "credential"]
OF_AN_ATTEMPT = ["route", "started_at", "outcome", "code", "reply"]


def export(*, recipient: str | None = None, owner: str | None = None) -> list[dict[str, Any]]:
    """Give a person's challenges, the oldest first, each with its mails, attempts and audit.

    Of those that are pruned there is the audit alone.
    """
    recipient = recipient and addresses.canonical(recipient)
    rows = _of(recipient, owner).order_by("created_at").prefetch_related("deliveries__attempts")
    told = {challenge.pk: _told(challenge) for challenge in rows}
    theirs = audit.challenges_of(recipient, owner) | told.keys()
    gone: dict[UUID, dict[str, Any]] = {pk: {"id": pk, "audit": []} for pk in theirs - told.keys()}
    for entry in audit.of(theirs):
        (gone | told)[entry.challenge_id]["audit"].append(_values(entry, OF_AN_ENTRY))
    return [*gone.values(), *told.values()]


def erase(*, recipient: str | None = None, owner: str | None = None) -> Deleted:
    """End what is pending, and delete a person's rows. Tells how many challenges went, or stayed.

    What a pending challenge was bound to ends with it; so does what their address is suppressed by.
    What the audit tells of them is emptied, and says so.
    A challenge stays that a receiver of ``challenge_ended`` refuses to end, or that something else
    holds; all others go. Each goes by itself, unless the caller has a transaction open.
    """
    recipient = recipient and addresses.canonical(recipient)
    rows = _of(recipient, owner)
    theirs = {*rows.values_list("pk", flat=True), *audit.challenges_of(recipient, owner)}
    refused = _end_all(rows.filter(state=ChallengeState.PENDING).order_by("pk"))
    over = rows.exclude(
        state=ChallengeState.PENDING
    )  # one that was issued meanwhile is not, and stays
    mailed = {*over.values_list("recipient", flat=True)} | ({recipient} if recipient else set())
    for address in mailed:
        suppressions.lift(address, now=database.now())
    deleted = delete(over)
    stay = Challenge.objects.filter(pk__in=theirs).values_list("pk", flat=True)
    audit.mask_all(theirs - {*stay}, now=database.now())
    return deleted + Deleted(stayed=refused)


def _end_all(pending: QuerySet[Challenge]) -> tuple[KeptRow, ...]:
    refused = []
    for challenge in pending:
        try:
            closing.close(challenge, ChallengeState.CANCELLED, now=database.now())
        except BaseException as error:  # noqa: BLE001 - raised again unless it is of this row
            refused.append(stayed(f"{challenge._meta.label_lower} {challenge.pk}", error))
    return tuple(refused)


def _of(recipient: str | None, owner: str | None) -> QuerySet[Challenge]:
    theirs = Q()
    if recipient is not None:
        # A database may know ASCII's capitals alone: of others, all of the domain are looked at.
        domain = recipient.rpartition("@")[2]
        by_domain = Q(recipient__endswith=f"@{domain}")
        theirs |= Q(recipient__iexact=recipient) if recipient.isascii() else by_domain
    if owner is not None:
        theirs |= Q(owner=owner)
    if not theirs:
        raise ValueError("whose rows? Name a recipient, an owner, or both")
    rows = Challenge.objects.all()
    # Compared again: a database's collation may hold 'jose' and 'josé' to be one.
    exact = [
        challenge.pk
        for challenge in rows.filter(theirs)
        if challenge.owner == owner
        or (recipient is not None and challenge.recipient.casefold() == recipient.casefold())
    ]
    return rows.filter(pk__in=exact)


def _told(challenge: Challenge) -> dict[str, Any]:
    mails = sorted(challenge.deliveries.all(), key=lambda mail: mail.created_at)
    return _values(challenge, OF_A_CHALLENGE) | {
        "audit": [],
        "deliveries": [
            _values(mail, OF_A_DELIVERY)
            | {"attempts": [_values(attempt, OF_AN_ATTEMPT) for attempt in mail.attempts.all()]}
            for mail in mails
        ],
    }


def _values(row: object, columns: Iterable[str]) -> dict[str, Any]:
    return {column: getattr(row, column) for column in columns}
