"""A transfer moves money once its code is typed, and not before.

In: a member, what they want moved, what they typed. Out: rows, otpmail's results, or a `Problem`.
Knows nothing of: JSON, mail.
"""

from collections.abc import Callable
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from mobile_api import ledger, problems
from mobile_api.email_utils import send_code
from mobile_api.ledger import PURPOSE, owner
from mobile_api.models import Account, Member, Transfer, TransferState
from mobile_api.problems import Problem
from mobile_api.result_problems import problem_of
from mobile_api.schemas import NewTransfer
from otpmail import challenges, receipts
from otpmail.challenges import Client
from otpmail.models import Challenge
from otpmail.results import (
    AlreadyUsed,
    Cancelled,
    Held,
    InvalidAddress,
    Issued,
    NotFound,
    OverCap,
    Resent,
    Verified,
)


def draft(member: Member, wanted: NewTransfer) -> Transfer:
    """Make a transfer that may be, or raise the problem that it has. Nothing is written yet."""
    payer, payee = _accounts(member, wanted)
    return Transfer(
        payer=payer,
        payee=payee,
        amount_minor=wanted.amount_minor,
        currency=wanted.currency,
        memo=wanted.memo,
        created_at=timezone.now(),
    )


def start(transfer: Transfer, client: Client) -> Issued:
    """Promise a draft's code, and write the draft down with it. Joins the caller's transaction."""
    issued = send_code(transfer, client)
    if isinstance(issued, OverCap | InvalidAddress):
        raise problem_of(issued)
    transfer.challenge_id = issued.challenge_id
    transfer.save(force_insert=True)
    return issued


def find(member: Member, transfer_id: UUID) -> Transfer:
    """Read a transfer of this member. Another's looks like none."""
    transfer = _rows().filter(payer__member=member, pk=transfer_id).first()
    if transfer is None:
        raise problem_of(NotFound())
    return transfer


@sensitive_variables()
def confirm(
    member: Member,
    transfer: Transfer,
    typed: str,
    *,
    client: Client,
    posted: Callable[[Transfer], None],
) -> Transfer:
    """Check the code, and post the transfer in the transaction that consumes it.

    ``posted`` joins that transaction. Raises the problem for any other end, and for a right code
    when the money has gone meanwhile.
    """

    def post(challenge: Challenge) -> None:
        locked = _rows().get(challenge_id=challenge.pk)  # by facts(), which found it unchanged
        now = challenge.ended_at or timezone.now()
        if ledger.post(locked, now=now, receipt=receipts.of(challenge)):
            posted(locked)

    result = challenges.verify(
        PURPOSE,
        transfer.challenge,
        typed,
        owner=owner(member.pk),
        confirmed=post,
        client=client,
    )
    if isinstance(result, Verified | AlreadyUsed):
        transfer = find(member, transfer.pk)
        if transfer.state == TransferState.REJECTED:
            detail = "The code was right, but the account no longer held the amount."
            raise Problem(problems.REJECTED, detail)
    if isinstance(result, Verified | Held):  # never held: it is consumed at once
        return transfer
    raise problem_of(result)


def resend(member: Member, transfer: Transfer, client: Client) -> Resent:
    """Promise one more mail."""
    result = challenges.resend(PURPOSE, transfer.challenge, owner=owner(member.pk), client=client)
    if isinstance(result, Resent):
        return result
    raise problem_of(result)


def cancel(member: Member, transfer: Transfer, client: Client) -> None:
    """End the code, and the transfer with it."""
    result = challenges.cancel(PURPOSE, transfer.challenge, owner=owner(member.pk), client=client)
    if not isinstance(result, Cancelled):
        raise problem_of(result)


def _rows() -> QuerySet[Transfer]:
    return Transfer.objects.select_related("payer", "payee")


def _accounts(member: Member, wanted: NewTransfer) -> tuple[Account, Account]:
    numbers = [wanted.payer_account, wanted.payee_account]
    accounts = Account.objects.select_related("member").filter(number__in=numbers)
    found = {account.number: account for account in accounts}
    payer, payee = (found.get(number) for number in numbers)
    if payer is None or payer.member_id != member.pk:
        raise Problem(problems.UNKNOWN_PAYER, "You have no account of the payer's number.")
    if payee is None:
        raise Problem(problems.UNKNOWN_PAYEE, "There is no account of the payee's number.")
    if payer == payee:
        raise Problem(problems.SAME_ACCOUNT, "Payer and payee are the same account.")
    if {payer.currency, payee.currency} != {wanted.currency}:
        detail = f"{wanted.currency} is not the currency of both accounts."
        raise Problem(problems.OTHER_CURRENCY, detail)
    if not payer.can_pay(wanted.amount_minor):
        raise Problem(problems.INSUFFICIENT_FUNDS, "The account does not hold that much.")
    return payer, payee
