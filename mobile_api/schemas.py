"""What goes over the wire: strict on the way in, plain on the way out.

In: JSON. Out: JSON. Amounts are whole minor units beside an ISO 4217 code.
"""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)

from mobile_api.models import MAX_AMOUNT_MINOR
from mobile_api.problems import TYPE_PREFIX, moment
from otpmail.results import MailStatus, NextStep

_NO_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls and separators of lines break mails and logs, and PostgreSQL takes no NUL; surrogates
(``Cs``) are halves of characters, which JSON can spell and UTF-8 cannot."""


def _line(value: str) -> str:
    if any(unicodedata.category(char) in _NO_LINE for char in value):
        raise ValueError("must be one line without control characters")
    return value


def _text(value: str) -> str:
    if any(unicodedata.category(char) == "Cs" for char in value):
        raise ValueError("must be text in Unicode")
    return value


Line = Annotated[str, AfterValidator(_line)]
Number = Annotated[Line, StringConstraints(min_length=1, max_length=20)]
Moment = Annotated[
    datetime,
    PlainSerializer(moment, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class Strict(Schema):
    """A body. An unknown member is refused: it may be a misspelt one."""

    model_config = ConfigDict(extra="forbid")


class SignIn(Strict):
    """Who signs in."""

    member_number: Number = Field(examples=["1001"])
    pin: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = Field(
        examples=["2468"], repr=False
    )


class NewTransfer(Strict):
    """What is to be moved."""

    payer_account: Number = Field(description="One of your own accounts.", examples=["10-0001"])
    payee_account: Number = Field(examples=["10-0002"])
    amount_minor: Annotated[StrictInt, Field(ge=1, le=MAX_AMOUNT_MINOR)] = Field(examples=[1250])
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = Field(examples=["EUR"])
    memo: Annotated[Line, StringConstraints(max_length=140)] = Field("", examples=["Potatoes"])


class Code(Strict):
    """What was typed; spaces and dashes do not matter."""

    code: Annotated[str, AfterValidator(_text)] = Field(examples=["123456"], repr=False)


class TokenOut(Schema):
    """Send it as ``Authorization: Bearer <token>``."""

    token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's word
    expires_at: Moment


class SessionOut(Schema):
    """A token of yours that is good, and where it was given."""

    client: str
    created_at: Moment
    seen_at: Moment
    expires_at: Moment
    is_this_one: bool


class MemberOut(Schema):
    """Who you are."""

    number: str
    name: str
    email: str


class AccountOut(Schema):
    """Where your money is."""

    number: str
    kind: str
    currency: str
    balance_minor: int


class DeliveryOut(Schema):
    """How far the newest mail is. ``accepted``: a mail server took it, no more is known."""

    state: MailStatus
    reason: str = Field(description="Why it failed or was dropped.")
    rounds: int
    took_ms: int | None = Field(description="Milliseconds from enqueue to the latest known event.")
    slow: bool = Field(description="Mail is slow just now, this one and others.")
    next: NextStep = Field(description="What the member can do.")
    poll_after_ms: int | None = Field(
        description="When to ask again, with If-None-Match; null when nothing more will come."
    )
    advice: str = Field(description="The same, as a sentence.")


class TransferOut(Schema):
    """A transfer and its code. The code's members are null once otpmail has purged them."""

    id: UUID
    state: str = Field(description="pending, confirmed, cancelled or rejected.")
    reason: str
    payer_account: str
    payee_account: str
    amount_minor: int
    currency: str
    memo: str
    created_at: Moment
    ended_at: Moment | None
    reference: str | None = Field(description="Stands in the mail and here.")
    recipient: str | None = Field(description="Masked.", examples=["a***@example.org"])
    digits: int | None
    expires_at: Moment | None
    resend_at: Moment | None = Field(description="From then on a resend can be asked for.")
    guesses_left: int | None
    delivery: DeliveryOut | None


class Receipt(Schema):
    """What was moved."""

    id: UUID
    payer_account: str
    payee_account: str
    amount_minor: int
    currency: str
    memo: str
    confirmed_at: Moment
    proof: str = Field(description="Shows that your code was typed for this. Keep it.")


class Confirmed(Schema):
    """The money has moved."""

    state: Literal["confirmed"] = "confirmed"
    receipt: Receipt


class Cancelled(Schema):
    """No money has moved, and none will."""

    state: Literal["cancelled"] = "cancelled"


class ResentOut(Schema):
    """One more mail is enqueued. A new ``generation`` means that the older code is dead."""

    generation: int
    expires_at: Moment
    resend_at: Moment
    sends_left: int


class ProblemOut(Schema):
    """RFC 9457. Some types have members besides, such as ``guesses_left``."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(examples=[TYPE_PREFIX + "otp/incorrect"])
    title: str
    status: int
    detail: str
    next: str = Field(description="What you can do now.")
    errors: list[dict[str, Any]] | None = None
    retry_at: Moment | None = None
    guesses_left: int | None = None
    can_resend: bool | None = None
    confirmed_at: Moment | None = None
