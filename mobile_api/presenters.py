"""Rows as the wire shows them; the only place where a schema is filled from models.

In: transfers, and what otpmail tells of their codes. Out: schemas.
Knows nothing of: HTTP.
"""

from typing import Any

from mobile_api import progress
from mobile_api.email_utils import PURPOSE
from mobile_api.models import Transfer
from mobile_api.schemas import Confirmed, DeliveryOut, Receipt, TransferOut
from otpmail.masking import mask
from otpmail.models import Delivery
from otpmail.purposes import Purpose
from otpmail.results import Issued

CODE_MEMBERS = ("reference", "recipient", "digits", "expires_at", "resend_at", "guesses_left")
PROMISED = DeliveryOut(state="queued", advice=progress.advice("queued", ""))


def promised_out(transfer: Transfer, issued: Issued) -> TransferOut:
    """Show a transfer whose mail was promised a moment ago; asks the database nothing."""
    return TransferOut(
        **_shown(transfer),
        reference=issued.reference,
        recipient=issued.recipient,
        digits=issued.digits,
        expires_at=issued.expires_at,
        resend_at=issued.resend_at,
        guesses_left=issued.guesses_left,
        delivery=PROMISED,
    )


def transfer_out(transfer: Transfer) -> TransferOut:
    """Show a transfer, its code's life and what became of its newest mail."""
    mail = progress.newest_mail(transfer.challenge)
    return TransferOut(**_shown(transfer), **_code(mail), delivery=_delivery(mail))


def confirmed_out(transfer: Transfer) -> Confirmed:
    """Show what was moved."""
    shown = _shown(transfer)
    return Confirmed(receipt=Receipt.model_validate({**shown, "confirmed_at": transfer.ended_at}))


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


def _code(mail: Delivery | None) -> dict[str, Any]:
    challenge = mail.challenge if mail else None
    if challenge is None:
        return dict.fromkeys(CODE_MEMBERS)
    return {
        "reference": challenge.reference,
        "recipient": mask(challenge.recipient),
        "digits": challenge.digits,
        "expires_at": challenge.expires_at,
        "resend_at": challenge.resend_at,
        "guesses_left": max(0, Purpose(PURPOSE).guesses - challenge.failures),
    }


def _delivery(mail: Delivery | None) -> DeliveryOut | None:
    if mail is None:
        return None
    return DeliveryOut(
        state=mail.state,
        reason=mail.reason,
        attempted=mail.attempted,
        settled_at=mail.settled_at,
        advice=progress.advice(mail.state, mail.reason),
    )
