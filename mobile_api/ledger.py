"""Money is neither made nor lost: a transfer's entries add up to nought, and no balance below it.

In: a transfer whose row the caller has locked. Out: whether it was posted.
Knows nothing of: codes, HTTP.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from mobile_api.models import Account, Entry, Reason, Transfer, TransferState


def post(transfer: Transfer, *, now: datetime) -> bool:
    """Move the money, or reject the transfer if there is not enough of it.

    Locks both accounts in the order of their ids, so that transfers that cross cannot deadlock.
    Joins the caller's transaction.
    """
    with transaction.atomic():
        ids = [transfer.payer_id, transfer.payee_id]
        accounts = Account.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        locked = {account.pk: account for account in accounts}
        if not locked[transfer.payer_id].can_pay(transfer.amount_minor):
            _end(transfer, TransferState.REJECTED, now, Reason.INSUFFICIENT_FUNDS)
            return False
        for account_id, amount_minor in zip(ids, _signed(transfer), strict=True):
            Account.objects.filter(pk=account_id).update(
                balance_minor=F("balance_minor") + amount_minor
            )
        Entry.objects.bulk_create(
            Entry(transfer=transfer, account_id=account_id, amount_minor=amount_minor)
            for account_id, amount_minor in zip(ids, _signed(transfer), strict=True)
        )
        _end(transfer, TransferState.CONFIRMED, now)
        return True


def _signed(transfer: Transfer) -> tuple[int, int]:
    return -transfer.amount_minor, transfer.amount_minor


def _end(
    transfer: Transfer, state: TransferState, now: datetime, reason: Reason | None = None
) -> None:
    transfer.state, transfer.reason, transfer.ended_at = state, reason or "", now
    transfer.save(update_fields=["state", "reason", "ended_at"])
