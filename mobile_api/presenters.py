"""Rows as the wire shows them; the only place where a schema is filled from models.

In: transfers, and what otpmail tells of their codes. Out: schemas.
Knows nothing of: HTTP.
"""

from typing import Any

from mobile_api import advice
from mobile_api.ledger import PURPOSE, owner
from mobile_api.models import Member, Transfer
from mobile_api.schemas import Confirmed, DeliveryOut, Receipt, TransferOut
from otpmail import challenges
from otpmail.results import ChallengeView, Issued, NotFound, Progress

CODE_MEMBERS = ("reference", "recipient", "digits", "expires_at", "resend_at", "guesses_left")


def enqueued_out(transfer: Transfer, issued: Issued) -> TransferOut:
    """Show a transfer whose mail was enqueued a moment ago; asks the database nothing."""
    return TransferOut(**_shown(transfer), **_code(issued))


def transfer_out(member: Member, transfer: Transfer) -> TransferOut:
    """Show a member's transfer, its code's life and how far its newest mail is."""
    status = challenges.status(PURPOSE, transfer.challenge, owner=owner(member.pk))
    return TransferOut(**_shown(transfer), **_code(status))


def confirmed_out(transfer: Transfer) -> Confirmed:
    """Show what was moved."""
    shown = _shown(transfer)
    told = {"confirmed_at": transfer.ended_at, "proof": transfer.receipt}
    return Confirmed(receipt=Receipt.model_validate(shown | told))


def _shown(transfer: Transfer) -> dict[str, Any]:
    return {
        "id": transfer.pk,
        "state": transfer.state,
        "reason": transfer.reason,
        "payer_account": transfer.payer.number,
        "payee_account": transfer.payee.number,
        "amount_minor": transfer.amount_minor,
        "currency": transfer.currency,
        "memo": transfer.memo,
        "created_at": transfer.created_at,
        "ended_at": transfer.ended_at,
    }


def _code(code: ChallengeView | NotFound) -> dict[str, Any]:
    if isinstance(code, NotFound):  # purged
        return dict.fromkeys((*CODE_MEMBERS, "delivery"))
    shown = {name: getattr(code, name) for name in CODE_MEMBERS}
    return shown | {"delivery": _delivery(code.delivery)}


def _delivery(mail: Progress) -> DeliveryOut:
    return DeliveryOut(
        state=mail.status,
        reason=mail.reason,
        rounds=mail.rounds,
        took_ms=mail.took_ms,
        slow=mail.slow,
        next=mail.next_step,
        poll_after_ms=mail.poll_after_ms,
        advice=advice.advice(mail),
    )
