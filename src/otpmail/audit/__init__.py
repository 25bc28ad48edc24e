"""What was done, once and for all: rows that are added in the transaction of what they tell.

In: an action, its challenge, who asked. Out: one row, with no code and no full address. And: whose
the entries of a person are, to be told to them, or masked.
Knows nothing of: why. ``chain`` makes a later change of an entry show.

When a challenge is pruned its entries stay. By two HMACs in the entry of its issue they are found
again, for who asks what is kept of an address or an owner.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from otpmail.addresses.masking import mask
from otpmail.addresses.requester import NOBODY, Client, ip_of
from otpmail.crypto import keys
from otpmail.crypto.keys import SigningKey
from otpmail.db import database
from otpmail.db.database import RowSet
from otpmail.db.statements import Insert, add
from otpmail.models import Challenge
from otpmail.models.audit import (
    ADDRESS_LENGTH,
    CREDENTIAL_LENGTH,
    PERSONAL,
    AuditAction,
    AuditEntry,
)

SUBKEY = "otpmail audit"

Insert(AuditEntry)


def write(
    action: AuditAction, *challenges: Challenge, now: datetime, client: Client = NOBODY
) -> None:
    """Add an entry each. Joins the caller's transaction: nothing is done without its entry."""
    add(*entries(action, *challenges, now=now, client=client))


def entries(
    action: AuditAction, *challenges: Challenge, now: datetime, client: Client = NOBODY
) -> list[AuditEntry]:
    """Make an entry each, to be added with what they tell of."""
    made: list[AuditEntry] = []
    address = str(ip_of(client.address) or "")  # else anybody's text would be in it
    for challenge in challenges:
        entry = AuditEntry(
            at=now,
            action=action,
            challenge_id=challenge.pk,
            generation=challenge.generation,
            purpose=challenge.purpose,
            recipient=mask(challenge.recipient),
            address=address[:ADDRESS_LENGTH],
            credential=client.credential[:CREDENTIAL_LENGTH],
            key_id=challenge.key_id,
            recipient_mac="",
            owner_mac="",
        )
        if action is AuditAction.ISSUED:
            key = keys.current()
            entry.recipient_mac = _of_recipient(key, challenge.recipient)
            entry.owner_mac = _of_owner(key, challenge.owner)
        made.append(entry)
    return made


def challenges_of(recipient: str | None, owner: str | None) -> set[UUID]:
    """Name the challenges of an address or an owner that the audit tells of, pruned ones too.

    Raises `NotHereError` if entries stand under a key that is not here: they may be theirs.
    """
    unattributable_keys()
    ring = keys.readable().values()
    theirs = Q()
    if recipient is not None:
        theirs |= Q(recipient_mac__in=[_of_recipient(key, recipient) for key in ring])
    if owner is not None:
        theirs |= Q(owner_mac__in=[_of_owner(key, owner) for key in ring])
    issued = AuditEntry.objects.filter(theirs, action=AuditAction.ISSUED)
    return {*issued.values_list("challenge_id", flat=True)}


def unattributable_keys() -> list[str]:
    """Name the revoked keys of entries of which nobody can tell any more whose they are.

    Raises `NotHereError` for a key that is unknown here.
    """
    issued = AuditEntry.objects.filter(action=AuditAction.ISSUED).exclude(recipient_mac="")
    unread = issued.exclude(key_id__in=keys.readable()).order_by("key_id")
    found = [*unread.values_list("key_id", flat=True).distinct()]
    return [key_id for key_id in found if keys.find(key_id) is None]


def of(challenge_ids: Collection[UUID]) -> QuerySet[AuditEntry]:
    """Find what the audit tells of challenges, the oldest first."""
    return AuditEntry.objects.filter(challenge_id__in=challenge_ids).order_by("pk")


def mask_all(challenge_ids: Collection[UUID], *, now: datetime) -> None:
    """Empty what their entries tell of a person, and add to each challenge's that this was done."""
    with database.atomic():
        entries = of(challenge_ids).exclude(action=AuditAction.ERASED)
        newest = {entry.challenge_id: entry for entry in entries}
        # Not by the model's own rows, which refuse; the database lets this one change pass.
        masked: QuerySet[Any] = RowSet(AuditEntry).filter(challenge_id__in=newest)
        masked.update(**dict.fromkeys(PERSONAL, ""))
        for entry in newest.values():
            kept = ("challenge_id", "generation", "purpose", "key_id")
            told = {name: getattr(entry, name) for name in kept}
            add(
                AuditEntry(at=now, action=AuditAction.ERASED, **told, **dict.fromkeys(PERSONAL, ""))
            )


def _of_recipient(key: SigningKey, recipient: str) -> str:
    return _mac(key, f"recipient {recipient.lower()}")


def _of_owner(key: SigningKey, owner: str) -> str:
    return _mac(key, f"owner {owner}")


def _mac(key: SigningKey, whose: str) -> str:
    return key.mac(SUBKEY, whose.encode()).hex()
