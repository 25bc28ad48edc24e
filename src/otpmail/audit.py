"""What was done, once and for all: rows that are added in the transaction of their deed.

In: a deed, its challenge, who asked. Out: one row, with no code and no full address.
Knows nothing of: why.
"""

from datetime import datetime

from otpmail.clients import NOBODY, Client, ip_of
from otpmail.deeds import ADDRESS_LENGTH, CREDENTIAL_LENGTH, AuditEntry, Deed
from otpmail.masking import mask
from otpmail.models import Challenge
from otpmail.statements import Insert

_ADD = Insert(AuditEntry)


def write(deed: Deed, *challenges: Challenge, now: datetime, client: Client = NOBODY) -> None:
    """Add an entry each. Joins the caller's transaction: no deed without it, nor it without one."""
    address = str(ip_of(client.address) or "")  # else anybody's text would be in it
    for challenge in challenges:
        entry = AuditEntry(
            at=now,
            deed=deed,
            challenge_id=challenge.pk,
            generation=challenge.generation,
            purpose=challenge.purpose,
            recipient=mask(challenge.recipient),
            address=address[:ADDRESS_LENGTH],
            credential=client.credential[:CREDENTIAL_LENGTH],
            key_id=challenge.key_id,
        )
        _ADD(entry)
