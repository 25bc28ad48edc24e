"""Every refusal is an RFC 9457 problem: a stable type, a sentence for a person, a next step.

In: a kind out of the catalogue and a sentence. Out: an ``application/problem+json`` response.
Knows nothing of: rows, otpmail, why.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.utils import timezone

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem. ``next_step`` tells what the caller can do."""

    type: str
    status: int
    title: str
    next_step: str

    @property
    def uri(self) -> str:
        """The stable ``type`` that clients compare."""
        return TYPE_PREFIX + self.type


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A request that is refused. Raised inside a transaction, it takes back what was written."""

    def __init__(
        self, kind: Kind, detail: str, *, retry_at: datetime | None = None, **members: Any
    ) -> None:
        super().__init__(kind.type)
        self.kind, self.detail, self.retry_at, self.members = kind, detail, retry_at, members

    def response(self) -> HttpResponse:
        """Write it down. With ``retry_at`` it tells ``Retry-After`` in whole seconds, 1 or more."""
        body = {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "next": self.kind.next_step,
            **self.members,
        }
        headers = {"WWW-Authenticate": "Bearer"} if self.kind.status == 401 else {}  # noqa: PLR2004
        if self.retry_at is not None:
            wait = (self.retry_at - timezone.now()).total_seconds()
            headers["Retry-After"] = str(max(1, math.ceil(wait)))
            body["retry_at"] = self.retry_at
        text = json.dumps(body, default=moment)
        return HttpResponse(text, content_type=MEDIA_TYPE, status=self.kind.status, headers=headers)


def declared(*kinds: Kind) -> dict[str, Any]:
    """Tell OpenAPI which problems an operation answers with: for ``openapi_extra``."""
    responses = {
        status: {
            "description": "; ".join(f"`{kind.uri}`" for kind in kinds if kind.status == status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({kind.status for kind in kinds})
    }
    return {"responses": responses}


def polled(*kinds: Kind) -> dict[str, Any]:
    """Tell OpenAPI the same of an operation that is polled, and how: by its ETag."""
    told = declared(*kinds)
    told["responses"][304] = {"description": "Nothing has changed."}
    told["parameters"] = [
        {
            "in": "header",
            "name": "If-None-Match",
            "description": "The ETag of the answer before.",
            "schema": {"type": "string"},
        }
    ]
    return told


def of_status(status: int) -> Problem:
    """Give the problem for an error of which nothing but the status is known."""
    kind, detail = _BY_STATUS.get(status, _BY_STATUS[500 if status >= 500 else 400])  # noqa: PLR2004
    return Problem(kind, detail)


def moment(value: datetime) -> str:
    """Write a time as RFC 3339 has it, in UTC."""
    return value.isoformat().replace("+00:00", "Z")


MALFORMED_JSON = Kind(
    "malformed-request",
    400,
    "Malformed request",
    "Send well-formed HTTP, and a JSON object in UTF-8.",
)
BAD_KEY = Kind(
    "idempotency-key",
    400,
    "Idempotency-Key missing or malformed",
    "Send a header Idempotency-Key of 1 to 100 visible ASCII characters, new for each transfer.",
)
UNAUTHENTICATED = Kind(
    "unauthenticated", 401, "Not signed in", "Sign in and send the token as Authorization: Bearer."
)
NO_SUCH_MEMBER = Kind(
    "sign-in-failed", 401, "Sign-in failed", "Check the member number and the PIN, and try again."
)
TOO_MANY_SIGN_INS = Kind(
    "sign-in-throttled", 429, "Too many failed sign-ins", "Wait until retry_at, and try again."
)
NOT_FOUND = Kind("not-found", 404, "Not found", "Check the address against the API's document.")
NOT_ALLOWED = Kind(
    "method-not-allowed", 405, "Method not allowed", "Use a method that the header Allow names."
)
NO_LENGTH = Kind(
    "length-required", 411, "Length required", "Send a Content-Length, and the body in one piece."
)
TOO_LARGE = Kind("too-large", 413, "Request too large", "Send less: a body has room for 64 KiB.")
NOT_JSON = Kind(
    "unsupported-media-type", 415, "Not JSON", "Send the body as Content-Type: application/json."
)
INVALID = Kind(
    "invalid-request", 422, "Invalid request", "Correct what errors names, and send it again."
)
UNKNOWN_PAYER = Kind(
    "payer-unknown", 422, "Not your account", "Take a payer account from GET accounts."
)
UNKNOWN_PAYEE = Kind("payee-unknown", 422, "No such account", "Check the payee's account number.")
SAME_ACCOUNT = Kind("same-account", 422, "Same account", "Name two different accounts.")
OTHER_CURRENCY = Kind(
    "other-currency", 422, "Other currency", "Transfer between accounts of one currency, in it."
)
INSUFFICIENT_FUNDS = Kind(
    "insufficient-funds", 422, "Not enough money", "Choose a smaller amount or another account."
)
NO_ADDRESS = Kind(
    "address-unusable", 422, "No usable address", "Ask the cooperative to correct your address."
)
KEY_MISMATCH = Kind(
    "idempotency-mismatch",
    422,
    "Idempotency-Key already used",
    "Take a new Idempotency-Key for another request, or repeat the first one unchanged.",
)
FAULT = Kind("fault", 500, "Our fault", "Try again with the same Idempotency-Key, or tell us.")
UNAVAILABLE = Kind("unavailable", 503, "Unavailable", "Try the same request again in a moment.")
REJECTED = Kind(
    "transfer-rejected", 409, "Transfer rejected", "Start a new transfer once there is money."
)

MALFORMED_CODE = Kind("otp/malformed", 400, "Not a code", "Type the digits that the mail shows.")
INCORRECT = Kind("otp/incorrect", 422, "Wrong code", "Type the code of the newest mail again.")
OTHER_TRANSFER = Kind(
    "otp/other-transfer",
    422,
    "Code of another transfer",
    "Type the code of the mail that has this transfer's reference, or confirm the other one.",
)
ALREADY_USED = Kind("otp/already-used", 409, "Code already used", "Look at the transfer.")
CHANGED = Kind("otp/transaction-changed", 409, "Transfer changed", "Start a new transfer.")
EXPIRED = Kind(
    "otp/expired", 410, "Code expired", "Ask for a new code if can_resend, else a new transfer."
)
EXHAUSTED = Kind("otp/exhausted", 410, "Too many wrong codes", "Start a new transfer.")
CANCELLED = Kind("otp/cancelled", 410, "Transfer cancelled", "Start a new transfer.")
SUPERSEDED = Kind(
    "otp/superseded", 410, "Code of an older mail", "Type the code of the newest mail."
)
NO_SUCH_TRANSFER = Kind(
    "otp/not-found", 404, "No such transfer", "Check the transfer's id; only its payer sees it."
)
TOO_SOON = Kind(
    "otp/resend-too-soon", 429, "Too soon", "Look for the mail, or ask again at retry_at."
)
RATE_LIMITED = Kind(
    "otp/rate-limited",
    429,
    "No more codes for now",
    "Wait until retry_at if there is one; else start a new transfer.",
)
NO_DELIVERY = Kind(
    "otp/delivery-unavailable",
    503,
    "No mail can be enqueued",
    "Nothing was issued: send the same request again after Retry-After seconds.",
)

EVERYWHERE = (NOT_FOUND, NOT_ALLOWED, FAULT, UNAVAILABLE)
"""What any operation can answer with."""

WITH_BODY = (MALFORMED_JSON, NO_LENGTH, TOO_LARGE, NOT_JSON, INVALID)
"""What an operation with a body can answer with besides."""

CATALOGUE = {kind.type: kind for kind in list(globals().values()) if isinstance(kind, Kind)}

_BY_STATUS = {
    400: (MALFORMED_JSON, "The request cannot be read."),
    401: (UNAUTHENTICATED, "You are not signed in, or your token is no longer good."),
    404: (NOT_FOUND, "There is nothing at this address."),
    405: (NOT_ALLOWED, "This address does not take this method."),
    411: (NO_LENGTH, "The body is sent in chunks, so its length is not known."),
    413: (TOO_LARGE, "The request is larger than 64 KiB."),
    415: (NOT_JSON, "The body is not sent as JSON."),
    500: (FAULT, "Something broke on our side. No money was moved by it."),
    503: (UNAVAILABLE, "The kiosk cannot answer just now."),
}
