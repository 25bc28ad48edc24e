"""The HTTP answers: each view says in a few lines what is asked, and what it is answered.

In: requests. Out: JSON, or problems. No view waits for mail.
Knows nothing of: codes, mail, how money moves.
"""

import hashlib
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from ninja import Header, Router, Status

from mobile_api import auth, idempotency, problems, transfers
from mobile_api.auth import MemberRequest
from mobile_api.idempotency import IdempotentRequest, StoredResponse
from mobile_api.models import Account, Member, Transfer
from mobile_api.presenters import confirmed_out, enqueued_out, transfer_out
from mobile_api.problems import (
    EVERYWHERE,
    UNAUTHENTICATED,
    WITH_BODY,
    Problem,
    declared,
    polled,
)
from mobile_api.requester import client_of
from mobile_api.schemas import (
    AccountOut,
    Cancelled,
    Code,
    Confirmed,
    MemberOut,
    NewTransfer,
    ResentOut,
    SessionOut,
    SignIn,
    TokenOut,
    TransferOut,
)
from otpmail.results import Issued

router = Router()

BUSY = timedelta(seconds=2)

ETAG_LENGTH = 32
"""Hex digits of a digest: 128 bits, so that two bodies never have one."""

KEY_FORM = "^[\x21-\x7e]{1,100}$"
MINE = (*EVERYWHERE, UNAUTHENTICATED)
ONE_OF_MINE = (*MINE, problems.NO_SUCH_TRANSFER)
OVER = (
    problems.ALREADY_USED,
    problems.CHANGED,
    problems.EXPIRED,
    problems.EXHAUSTED,
    problems.CANCELLED,
)

RequiredKey = Annotated[str, Header(alias="Idempotency-Key", pattern=KEY_FORM)]
OptionalKey = Annotated[str | None, Header(alias="Idempotency-Key", pattern=KEY_FORM)]


@router.post(
    "/sign-in",
    auth=None,
    response=TokenOut,
    tags=["session"],
    openapi_extra=declared(
        *EVERYWHERE, *WITH_BODY, problems.NO_SUCH_MEMBER, problems.TOO_MANY_SIGN_INS
    ),
)
def sign_in(request: HttpRequest, body: SignIn) -> TokenOut:
    """Get a token for a member number and a PIN."""
    try:
        signed_in = auth.sign_in(body.member_number, body.pin, client_of(request))
    except auth.BusyError:
        detail = "Too many people sign in at this moment."
        raise Problem(problems.UNAVAILABLE, detail, retry_at=timezone.now() + BUSY) from None
    if isinstance(signed_in, auth.Throttled):
        detail = "Too many sign-ins with this member number, or from here, failed."
        raise Problem(problems.TOO_MANY_SIGN_INS, detail, retry_at=signed_in.retry_at)
    if signed_in is None:
        raise Problem(problems.NO_SUCH_MEMBER, "The member number and the PIN do not match.")
    token, expires_at = signed_in
    return TokenOut(token=token, expires_at=expires_at)


@router.post("/sign-out", response={204: None}, tags=["session"], openapi_extra=declared(*MINE))
def sign_out(request: MemberRequest) -> Status[None]:
    """Revoke the token that this request is sent with."""
    auth.sign_out(request.auth)
    return Status(204, None)


@router.get("/sessions", response=list[SessionOut], tags=["session"], openapi_extra=declared(*MINE))
def sessions(request: MemberRequest) -> list[dict[str, object]]:
    """Tell where you are signed in, the newest first. What was idle for long is signed out."""
    tokens = auth.in_force().filter(member=request.auth.member).order_by("-pk")
    names = ("client", "created_at", "seen_at", "expires_at")
    return [
        {name: getattr(token, name) for name in names}
        | {"is_this_one": token.pk == request.auth.pk}
        for token in tokens
    ]


@router.post(
    "/sign-out-everywhere", response={204: None}, tags=["session"], openapi_extra=declared(*MINE)
)
def sign_out_everywhere(request: MemberRequest) -> Status[None]:
    """Revoke all your tokens, this one too."""
    auth.sign_out_everywhere(request.auth.member)
    return Status(204, None)


@router.get("/me", response=MemberOut, tags=["member"], openapi_extra=declared(*MINE))
def me(request: MemberRequest) -> Member:
    """Tell who you are."""
    return request.auth.member


@router.get("/accounts", response=list[AccountOut], tags=["member"], openapi_extra=declared(*MINE))
def accounts(request: MemberRequest) -> list[Account]:
    """Tell where your money is."""
    return list(Account.objects.filter(member=request.auth.member).order_by("number"))


@router.post(
    "/transfers",
    response={201: TransferOut},
    tags=["transfers"],
    openapi_extra=declared(
        *MINE,
        *WITH_BODY,
        problems.BAD_KEY,
        problems.KEY_MISMATCH,
        problems.UNKNOWN_PAYER,
        problems.UNKNOWN_PAYEE,
        problems.SAME_ACCOUNT,
        problems.OTHER_CURRENCY,
        problems.INSUFFICIENT_FUNDS,
        problems.NO_ADDRESS,
        problems.RATE_LIMITED,
        problems.NO_DELIVERY,
    ),
)
def create_transfer(
    request: MemberRequest, body: NewTransfer, idempotency_key: RequiredKey
) -> HttpResponse:
    """Start a transfer: its code is mailed to you at once, and nothing moves before it is typed.

    The same Idempotency-Key with the same body gets the same answer, and no second transfer.
    """
    ask = _ask(request, idempotency_key, body.model_dump_json())

    def act() -> StoredResponse:
        transfer = transfers.draft(ask.member, body)
        with transaction.atomic():  # only writes in here: SQLite has one writer at a time
            answer = _enqueued(transfer, transfers.start(transfer, client_of(request)))
            idempotency.keep(ask, answer)
        return answer

    return idempotency.once(ask, act).response()


@router.get(
    "/transfers/{transfer_id}",
    response=TransferOut,
    tags=["transfers"],
    url_name="get_transfer",
    openapi_extra=polled(*ONE_OF_MINE),
)
def get_transfer(request: MemberRequest, transfer_id: UUID) -> HttpResponseBase | None:
    """Tell how far a transfer, its code and its mail have come.

    Made to be polled, as often as ``delivery.poll_after_ms`` tells. Send the ``ETag`` back as
    ``If-None-Match``, and you are answered 304 without a body while nothing has changed.
    """
    member = request.auth.member
    body = transfer_out(member, transfers.find(member, transfer_id)).model_dump_json()
    etag = quote_etag(hashlib.sha256(body.encode()).hexdigest()[:ETAG_LENGTH])
    response = HttpResponse(body, content_type="application/json", headers={"ETag": etag})
    return get_conditional_response(request, etag=etag, response=response)


@router.post(
    "/transfers/{transfer_id}/confirm",
    response=Confirmed,
    tags=["transfers"],
    openapi_extra=declared(
        *ONE_OF_MINE,
        *WITH_BODY,
        *OVER,
        problems.BAD_KEY,
        problems.KEY_MISMATCH,
        problems.MALFORMED_CODE,
        problems.INCORRECT,
        problems.OTHER_TRANSFER,
        problems.SUPERSEDED,
        problems.REJECTED,
    ),
)
def confirm_transfer(
    request: MemberRequest, transfer_id: UUID, body: Code, idempotency_key: OptionalKey = None
) -> HttpResponse:
    """Type the code, and the money moves."""
    member, client = request.auth.member, client_of(request)
    ask = _ask(request, idempotency_key, body.code) if idempotency_key else None

    def posted(transfer: Transfer) -> None:
        idempotency.keep(ask, _confirmed(transfer))

    def act() -> StoredResponse:
        transfer = transfers.find(member, transfer_id)
        confirmed = transfers.confirm(member, transfer, body.code, client=client, posted=posted)
        return _confirmed(confirmed)

    return idempotency.once(ask, act).response()


@router.post(
    "/transfers/{transfer_id}/code",
    response={202: ResentOut},
    tags=["transfers"],
    openapi_extra=declared(
        *ONE_OF_MINE, *OVER, problems.TOO_SOON, problems.RATE_LIMITED, problems.NO_DELIVERY
    ),
)
def resend_code(request: MemberRequest, transfer_id: UUID) -> Status[object]:
    """Have the code mailed once more, or a new one once the older has too little life left."""
    member = request.auth.member
    transfer = transfers.find(member, transfer_id)
    return Status(202, transfers.resend(member, transfer, client_of(request)))


@router.post(
    "/transfers/{transfer_id}/cancel",
    response=Cancelled,
    tags=["transfers"],
    openapi_extra=declared(*ONE_OF_MINE, *OVER),
)
def cancel_transfer(request: MemberRequest, transfer_id: UUID) -> Cancelled:
    """End a pending transfer, and its code with it."""
    member = request.auth.member
    transfers.cancel(member, transfers.find(member, transfer_id), client_of(request))
    return Cancelled()


def _ask(request: MemberRequest, key: str, content: str) -> IdempotentRequest:
    return IdempotentRequest(
        member=request.auth.member, key=key, content=f"{request.path}\n{content}"
    )


def _enqueued(transfer: Transfer, issued: Issued) -> StoredResponse:
    return StoredResponse(
        status=201,
        body=enqueued_out(transfer, issued).model_dump_json(),
        location=reverse("mobile_api:get_transfer", args=[transfer.pk]),
    )


def _confirmed(transfer: Transfer) -> StoredResponse:
    return StoredResponse(status=200, body=confirmed_out(transfer).model_dump_json())
