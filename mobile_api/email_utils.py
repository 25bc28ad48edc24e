"""Where the kiosk asks otpmail for the mail: recipient, amount, code, and no more.

In: a transfer that is about to be written. Out: what was issued.
Knows nothing of: HTTP, mail servers, what the code will be.
"""

from django.conf import settings

from mobile_api import ledger
from mobile_api.ledger import PURPOSE, owner
from mobile_api.models import Account, Transfer
from mobile_api.money import is_large
from otpmail import challenges
from otpmail.challenges import Client, Facts
from otpmail.models import Challenge
from otpmail.results import InvalidAddress, Issued, OverCap


def send_code(transfer: Transfer, client: Client) -> Issued | OverCap | InvalidAddress:
    """Promise the payer a code for this transfer. Joins the caller's transaction, never waits."""
    member = transfer.payer.member
    if member is None:
        raise ValueError("nobody types a code for the cooperative's own account")
    return challenges.issue(
        PURPOSE,
        owner=owner(member.pk),
        recipient=member.email,
        facts=ledger.facts(transfer),
        client=client,
        long=is_large(transfer.amount_minor, transfer.currency, major=settings.LONG_CODE_FROM),
        context={"payee_name": _name_of(transfer.payee)},
    )


def facts(challenge: Challenge, *, lock: bool) -> Facts | None:
    """Read what a transfer's code is bound to, as it stands now; otpmail asks for it by name."""
    transfers = Transfer.objects.filter(challenge_id=challenge.pk)
    # Locked by itself: accounts are locked by the ledger, in their order.
    transfers = transfers.select_for_update() if lock else transfers.select_related("payee")
    transfer = transfers.first()
    return None if transfer is None else ledger.facts(transfer)


def _name_of(account: Account) -> str:
    name = account.member.name if account.member else "The cooperative"
    return " ".join(name.split())  # one line, whatever stands in it
