"""Where the kiosk asks otpmail for the mail: recipient, amount, code, and no more.

In: a transfer that is about to be written. Out: what was promised.
Knows nothing of: HTTP, mail servers, what the code will be.
"""

from django.conf import settings

from mobile_api import ledger
from mobile_api.models import Account, Transfer
from mobile_api.money import is_large, written
from otpmail import challenges
from otpmail.binding import Facts
from otpmail.clients import Client
from otpmail.models import Challenge
from otpmail.results import Issued, OverCap

PURPOSE = "transfer"


def send_code(transfer: Transfer, client: Client) -> Issued | OverCap:
    """Promise the payer a code for this transfer. Joins the caller's transaction, never waits.

    Raises `otpmail.exceptions.InvalidRecipientError` if the member's address takes no mail.
    """
    member = transfer.payer.member
    if member is None:
        raise ValueError("nobody types a code for the cooperative's own account")
    return challenges.issue(
        PURPOSE,
        subject=subject(member.pk),
        recipient=member.email,
        facts=ledger.facts(transfer),
        client=client,
        long=is_large(transfer.amount_minor, transfer.currency, major=settings.LONG_CODE_FROM),
        context={
            "amount": written(transfer.amount_minor, transfer.currency),
            "payee": _payee(transfer.payee),
        },
    )


def subject(member_id: int) -> str:
    """Name whose a code is."""
    return str(member_id)


def facts(challenge: Challenge, *, lock: bool) -> Facts | None:
    """Read what a transfer's code is bound to, as it stands now; otpmail asks for it by name."""
    transfers = Transfer.objects.filter(challenge_id=challenge.pk)
    if lock:
        transfers = transfers.select_for_update()
    transfer = transfers.first()
    return None if transfer is None else ledger.facts(transfer)


def _payee(account: Account) -> str:
    name = account.member.name if account.member else "The cooperative"
    return f"{' '.join(name.split())} ({account.number})"  # one line, whatever stands in a name
