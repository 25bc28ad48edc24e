"""Money is neither made nor lost: a transfer's entries add up to nought, and no balance below it.

In: a transfer whose row the caller has locked, and the receipt of its code. Out: whether it was
posted. What a member pays moves on a good receipt alone, whoever calls.
Knows nothing of: codes, HTTP.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from mobile_api.models import Account, AccountKind, Entry, Reason, Transfer, TransferState
from otpmail import receipts
from otpmail.challenges import Facts

PURPOSE = "transfer"


class ReceiptError(Exception):
    """Nothing shows that the payer confirmed this transfer, so nothing is posted."""


def post(transfer: Transfer, *, now: datetime, receipt: str = "") -> bool:
    """Move the money, or reject the transfer if there is not enough of it.

    ``receipt`` is what otpmail gave for the transfer's code at the time ``now``; a booking of the
    cooperative's own has no code and needs none. Raises `ReceiptError`.

    Locks both accounts in the order of their ids, so that transfers that cross cannot deadlock.
    Joins the caller's transaction.
    """
    _check_receipt(transfer, receipt, now)
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
        transfer.receipt = receipt
        _end(transfer, TransferState.CONFIRMED, now)
        return True


def facts(transfer: Transfer) -> Facts:
    """Tell what a transfer's code and its receipt are bound to."""
    return {
        "transfer": str(transfer.pk),
        "payer": transfer.payer_id,
        "payee": transfer.payee_id,
        "payee_number": transfer.payee.number,
        "amount_minor": transfer.amount_minor,
        "currency": transfer.currency,
    }


def owner(member_id: int | None) -> str:
    """Name whose a transfer's code is: the payer's."""
    return str(member_id)


def _check_receipt(transfer: Transfer, receipt: str, now: datetime) -> None:
    if transfer.payer.kind == AccountKind.COOPERATIVE:
        return
    if not receipts.check(
        receipt,
        challenge_id=transfer.challenge,
        purpose=PURPOSE,
        owner=owner(transfer.payer.member_id),
        facts=facts(transfer),
        confirmed_at=now,
    ):
        raise ReceiptError(f"{transfer} has no good receipt")


def _signed(transfer: Transfer) -> tuple[int, int]:
    return -transfer.amount_minor, transfer.amount_minor


def _end(
    transfer: Transfer, state: TransferState, now: datetime, reason: Reason | None = None
) -> None:
    transfer.state, transfer.reason, transfer.ended_at = state, reason or "", now
    transfer.save(update_fields=["state", "reason", "ended_at", "receipt"])
