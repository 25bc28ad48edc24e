"""What became of one try to hand a mail on: any exception or reply becomes one of four outcomes.

In: an exception of ``smtplib``, ``ssl``, ``socket`` or Django's mail package, or one of Anymail,
``requests`` or ``botocore``, told by its name; or a server's reply.
Out: an `Outcome`, whose words are safe to store and to log.
Knows nothing of: rows, routes, retries.
"""

import re
import smtplib
from dataclasses import dataclass, replace
from enum import Enum

from otpmail import apis
from otpmail.apis import Answer
from otpmail.masking import mask_addresses

REPLY_LENGTH = 200
"""Characters stored of a reply or an error; enough for an enhanced code and a queue id."""

OF_THE_SYSTEM = re.compile(r"4\.3\.\d")
"""The mail system's status (RFC 3463, 3.4): whatever it answers, it speaks of every mail."""

CLOSING = 421
"""The same, by the code alone (RFC 5321, 3.8)."""

TOO_LARGE = 552
"""In answer to MAIL: the mail is larger than this server takes (RFC 1870, 6.1)."""

OF_THE_FIT = re.compile(r"5\.(?:3\.4|6\.[379])\b")
"""The same, and no conversion to what this server offers (RFC 3463), and no SMTPUTF8 (RFC 6531)."""

READ_LENGTH = 1000
"""Characters read of it at most: a hostile server's megabyte must not keep a courier busy."""

CALLS = frozenset(
    {
        "anymail.AnymailError",
        "anymail.AnymailConfigurationError",
        "requests.RequestException",
        "botocore.BotoCoreError",
        "botocore.ClientError",
    }
)
"""The roots of what a provider's backend raises."""

REFUSED = frozenset({"anymail.AnymailRecipientsRefused", "anymail.AnymailInvalidAddress"})
"""It speaks of the recipient."""

NOT_SET_UP = frozenset(
    {
        "anymail.AnymailConfigurationError",
        "anymail.AnymailUnsupportedFeature",
        "anymail.AnymailSerializationError",
        "botocore.NoCredentialsError",
        "botocore.PartialCredentialsError",
        "botocore.NoRegionError",
        "requests.InvalidURL",
        "requests.MissingSchema",
    }
)
"""No mail gets through on this route."""

NOT_CONNECTED = frozenset(
    {
        "urllib3.NewConnectionError",  # refused, no such host, no way there
        "urllib3.ConnectTimeoutError",
        "urllib3.ProxyError",
        "requests.ConnectTimeout",
        "botocore.EndpointConnectionError",
        "botocore.ConnectTimeoutError",
        "ssl.SSLError",
    }
)
"""Nothing was written yet."""

BROKEN_OFF = frozenset({"ssl.SSLEOFError"})
"""The one ``SSLError`` that also comes when all was written."""

UNANSWERED = frozenset(
    {"anymail.AnymailAPIError", "requests.RequestException", "botocore.HTTPClientError"}
)
"""The call was made, and nothing is known of its end."""

OF_THE_MAIL = frozenset({400, 422})
"""HTTP statuses that speak of this mail."""

CONTENT_TOO_LARGE = 413
"""The HTTP status for it (RFC 9110, 15.5.14)."""

LATER = frozenset({408, 425, 429})
"""HTTP statuses that pass, as all of 5xx do."""

OF_THE_ROUTE = frozenset(
    {
        # Amazon SES, with 400
        "AccountSuspendedException",
        "LimitExceededException",
        "MailFromDomainNotVerifiedException",
        "SendingPausedException",
        # Postmark, with 422: no such sender, not confirmed, no credit, account not approved
        *(400, 401, 405, 412, 413),
        "send-0008",  # Mailjet, with 400: no such sender
        "account_under_validation",  # Brevo, with 400
        "invalid_from_address",  # Resend, with 422
        "from",  # SendGrid, with 400
        "from.email",
        "Invalid_Key",  # Mandrill, with 500
        "PaymentRequired",
    }
)
"""What an API calls a fault of sender or account, under a status that would say otherwise."""


class Kind(Enum):
    """Whether the mail was taken, and whether trying again can help."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


class Blame(Enum):
    """What a refusal speaks of: this mail, every mail on this route, or this mail on this route."""

    MAIL = "mail"
    ROUTE = "route"
    FIT = "fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One try's end. ``code`` is the reply code (RFC 5321, 4.2) or HTTP status, if there was one.

    ``retry_after_seconds`` is how long the provider asked to be left alone.
    """

    kind: Kind
    reply: str
    code: int | None = None
    blame: Blame = Blame.MAIL
    retry_after_seconds: float | None = None


def of_reply(code: int, text: str | bytes, *, blame: Blame = Blame.MAIL) -> Outcome:
    """Read a reply: 2xx accepted, 5xx permanent, all else transient."""
    kinds = {2: Kind.ACCEPTED, 5: Kind.PERMANENT}
    reply = words(text)
    if code == CLOSING or (code // 100 == 4 and OF_THE_SYSTEM.match(reply)):  # noqa: PLR2004
        blame = Blame.ROUTE
    elif OF_THE_FIT.match(reply) or (code == TOO_LARGE and blame is Blame.ROUTE):
        blame = Blame.FIT
    return Outcome(kind=kinds.get(code // 100, Kind.TRANSIENT), reply=reply, code=code, blame=blame)


def of_error(error: BaseException, *, sending: bool) -> Outcome:
    """Read an exception.

    ``sending`` tells whether the mail may have been written: a connection that breaks while it is
    opened took nothing (transient), one that breaks later may have taken the mail (unknown).
    """
    called = apis.names(error)
    if called & CALLS:
        return _of_call(error, called, sending=sending)
    match error:
        case smtplib.SMTPRecipientsRefused():
            # No SMTPResponseException: 450 and 550 look alike until its dict is read.
            code, text = next(iter(error.recipients.values()), (450, b"recipients refused"))
            return _of_refusal(code, text)
        case smtplib.SMTPDataError():
            return _of_refusal(error.smtp_code, error.smtp_error)
        case smtplib.SMTPResponseException():  # connect, HELO, STARTTLS, AUTH, MAIL
            return _of_refusal(error.smtp_code, error.smtp_error, blame=Blame.ROUTE)
        case smtplib.SMTPNotSupportedError():
            blame = Blame.FIT if "SMTPUTF8" in str(error) else Blame.ROUTE
            return Outcome(kind=Kind.PERMANENT, reply=named(error), blame=blame)
        case ValueError() if not isinstance(error, OSError):  # no such address, no such header
            return Outcome(kind=Kind.PERMANENT, reply=named(error))
        case OSError() if sending:  # SMTPServerDisconnected and time-outs among them
            return Outcome(kind=Kind.UNKNOWN, reply=named(error), blame=Blame.ROUTE)
        case _:
            return Outcome(kind=Kind.TRANSIENT, reply=named(error), blame=Blame.ROUTE)


def of_sent(status: object) -> Outcome:
    """Read what a backend that raised nothing left on the mail: an ``anymail_status``, or None."""
    told = getattr(status, "status", None) or set()
    answer = apis.answer_of(getattr(status, "esp_response", None))
    if told and told <= {"failed", "invalid", "rejected"}:
        reply = f"the provider told: {', '.join(sorted(told))}"
        return _of_answer(answer, reply, refused="failed" not in told)
    return Outcome(
        kind=Kind.ACCEPTED,
        reply=words(str(getattr(status, "message_id", None) or "")),
        code=answer.status if answer else None,
    )


def _of_call(error: BaseException, called: frozenset[str], *, sending: bool) -> Outcome:
    answer = apis.answer_of(getattr(error, "response", None))
    if answer or called & REFUSED:
        return _of_answer(answer, named(error), refused=bool(called & REFUSED))
    kind = Kind.PERMANENT  # such as Anymail's own refusal to guess a domain
    if not called & NOT_SET_UP:
        if not sending or (called & NOT_CONNECTED and not called & BROKEN_OFF):
            kind = Kind.TRANSIENT
        elif called & UNANSWERED:
            kind = Kind.UNKNOWN
    return Outcome(kind=kind, reply=named(error), blame=Blame.ROUTE)


def _of_answer(answer: Answer | None, reply: str, *, refused: bool) -> Outcome:
    kind, blame = _judged(answer, refused=refused)
    return Outcome(
        kind=kind,
        reply=reply,
        blame=blame,
        code=answer.status if answer else None,
        retry_after_seconds=answer.retry_after_seconds if answer else None,
    )


def _judged(answer: Answer | None, *, refused: bool) -> tuple[Kind, Blame]:
    if answer and answer.reason in OF_THE_ROUTE:
        return Kind.PERMANENT, Blame.ROUTE
    if refused or (answer and answer.status in OF_THE_MAIL):
        return Kind.PERMANENT, Blame.MAIL
    if answer and answer.status == CONTENT_TOO_LARGE:
        return Kind.PERMANENT, Blame.FIT
    if answer is None or answer.status < 300:  # noqa: PLR2004 - answered, in words not understood
        return Kind.UNKNOWN, Blame.ROUTE
    passes = answer.status in LATER or answer.status >= 500  # noqa: PLR2004
    return Kind.TRANSIENT if passes else Kind.PERMANENT, Blame.ROUTE


def _of_refusal(code: int, text: str | bytes, *, blame: Blame = Blame.MAIL) -> Outcome:
    # What smtplib raises was not taken, whatever its code: 250 to DATA, 252 to RCPT, -1 for none.
    outcome = of_reply(code, text, blame=blame)
    kind = Kind.TRANSIENT if outcome.kind is Kind.ACCEPTED else outcome.kind
    return replace(outcome, kind=kind, code=code if code > 0 else None)


def named(error: BaseException) -> str:
    """Tell an error by its type and its words."""
    return words(f"{type(error).__name__}: {error}")


def words(text: str | bytes) -> str:
    """Make a stranger's text fit to store and to log: a line of ASCII, addresses masked."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    line = re.sub(r"[^\x20-\x7e]+", " ", _beginning(text)).strip()
    return mask_addresses(line)


def _beginning(text: str) -> str:
    """Cut it so that half a code, which nobody would redact, is not left at the end."""
    if len(text) <= READ_LENGTH:
        return text
    without_base64 = re.sub(r"\S{1,76}$", "", text[:READ_LENGTH])  # a line's length in MIME
    return re.sub(r"[\W\d_]+$", "", without_base64)
