"""What became of one attempt to send a mail: any exception or reply is one of four outcomes.

In: an exception of ``smtplib``, ``ssl``, ``socket`` or Django's mail package, or one of Anymail,
``requests`` or ``botocore``, told by its name; or a server's reply.
Out: an `Outcome`, whose words are safe to store and to log.
Knows nothing of: rows, routes, retries.

``status_codes`` reads what a server's refusal speaks of, by ``wordings`` where no code says it,
``provider_errors`` what an HTTP API said and ``api_responses`` what that means; ``findings`` are
what both can come to, and ``describing`` tells an error in a log.
"""

import re
import smtplib
import ssl
import traceback
from dataclasses import dataclass, replace

from otpmail.addresses.masking import mask_addresses
from otpmail.exceptions.foreign import ends_process
from otpmail.outcomes import api_responses, provider_errors
from otpmail.outcomes.findings import Blame, Kind
from otpmail.outcomes.provider_errors import ApiResponse
from otpmail.outcomes.status_codes import Stage, finding

__all__ = ["Blame", "Kind", "Outcome", "Stage"]

REPLY_LENGTH = 200
"""Characters stored of a reply or an error; enough for an enhanced code and a queue id."""

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

MAKE_MAILS = ("django.core.mail", "email.", "encodings", "otpmail.")
"""Modules whose ``ValueError`` speaks of an address or a header; another's, of a key or a token."""

REFUSED = frozenset({"anymail.AnymailRecipientsRefused", "anymail.AnymailInvalidAddress"})
"""It speaks of the recipient."""

UNSUPPORTED = frozenset({"anymail.AnymailUnsupportedFeature", "anymail.AnymailSerializationError"})
"""The mail asks what this provider's API cannot say, as two tags at Postmark."""

NOT_SET_UP = frozenset(
    {
        "anymail.AnymailConfigurationError",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An attempt's end. ``code`` is the reply code (RFC 5321, 4.2) or HTTP status, if any.

    ``retry_after_seconds`` is how long the provider asked to be left alone.
    """

    kind: Kind
    reply: str
    code: int | None = None
    blame: Blame = Blame.MAIL
    retry_after_seconds: float | None = None
    is_local: bool = False
    """Whether the route's fault may be met by mail to one recipient's domain alone."""
    is_of_sender: bool = False
    """Whether it may be met by mail of this sender alone."""
    is_lasting: bool = False
    """Whether somebody has to mend something: a password, a certificate, a setting."""
    hint: str = ""
    """What to look at; the end of ``reply``, in brackets."""

    @property
    def said(self) -> str:
        """The reply without the hint."""
        return self.reply.removesuffix(f" ({self.hint})")

    def saying(self, said: str) -> "Outcome":
        """Put other words in, short enough to be stored with the hint. Redact them before."""
        if self.hint:
            said = f"{said[: REPLY_LENGTH - len(self.hint) - 3].rstrip()} ({self.hint})"
        return replace(self, reply=said)


def of_reply(code: int, text: str | bytes, *, stage: Stage = Stage.CONTENT) -> Outcome:
    """Read a reply: 2xx accepted, 5xx permanent, all else transient (RFC 5321, 4.2.1)."""
    reply = words(text)
    kind = {2: Kind.ACCEPTED, 5: Kind.PERMANENT}.get(code // 100, Kind.TRANSIENT)
    if kind is Kind.ACCEPTED:
        return Outcome(kind=kind, reply=reply, code=code)
    found = finding(stage, code, reply)
    return Outcome(
        kind=kind,
        reply=reply,
        code=code,
        blame=found.blame,
        is_local=found.is_local,
        is_of_sender=found.is_of_sender,
        is_lasting=kind is Kind.PERMANENT and stage is Stage.OPENING,
    )


def of_error(error: BaseException, *, sending: bool) -> Outcome:
    """Read an exception, whatever it is. Never raises.

    ``sending`` tells whether the mail may have been written: a connection that breaks while it is
    opened took nothing (transient), one that breaks later may have taken the mail (unknown).
    """
    try:
        called = provider_errors.names(error)
        if called & CALLS:
            return _of_call(error, called, sending=sending)
        return _of_python(error, sending=sending)
    except BaseException as worse:  # what it says of itself cannot be read
        if ends_process(worse):
            raise
        is_unknown = sending and isinstance(error, OSError)
        return _of_route(error, Kind.UNKNOWN if is_unknown else Kind.TRANSIENT)


def _of_python(error: BaseException, *, sending: bool) -> Outcome:
    match error:
        case smtplib.SMTPRecipientsRefused():
            # No SMTPResponseException: 450 and 550 look alike until its dict is read.
            code, text = next(iter(error.recipients.values()), (450, b"recipients refused"))
            return _of_refusal(code, text, stage=Stage.RECIPIENT)
        case smtplib.SMTPResponseException():
            return _of_refusal(error.smtp_code, error.smtp_error, stage=_stage_of(error))
        case smtplib.SMTPNotSupportedError() if "SMTPUTF8" in str(error):
            return Outcome(kind=Kind.PERMANENT, reply=named(error), blame=Blame.CAPABILITY)
        case smtplib.SMTPNotSupportedError():
            return _of_route(error, Kind.PERMANENT, is_lasting=True)
        case ssl.SSLCertVerificationError():
            return _of_route(error, Kind.TRANSIENT, is_lasting=True)
        case _ if _is_of_the_mail(error):  # no such address, no such header
            is_value = isinstance(error, ValueError)
            return Outcome(kind=Kind.PERMANENT if is_value else Kind.TRANSIENT, reply=named(error))
        case OSError() if sending:  # SMTPServerDisconnected and time-outs among them
            # smtplib tells a time-out as a broken connection, in whose context it lies.
            is_late = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
            return _of_route(error, Kind.UNKNOWN, is_local=is_late)
        case _:
            return _of_route(error, Kind.TRANSIENT)


def _is_of_the_mail(error: BaseException) -> bool:
    """Tell whether it arose while the mail was written out, and not in what was to carry it."""
    if isinstance(error, OSError):
        return False
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames:
        return isinstance(error, ValueError)
    by = frames[-1].f_globals.get("__name__", "")
    if isinstance(error, ValueError) and by.startswith(MAKE_MAILS):
        return True
    return any(frame.f_code.co_name == "message" for frame in frames)


def _stage_of(error: smtplib.SMTPResponseException) -> Stage:
    if isinstance(error, smtplib.SMTPDataError):
        return Stage.CONTENT
    return Stage.SENDER if isinstance(error, smtplib.SMTPSenderRefused) else Stage.OPENING


def _of_route(
    error: BaseException, kind: Kind, *, is_local: bool = False, is_lasting: bool = False
) -> Outcome:
    return Outcome(
        kind=kind,
        reply=named(error),
        blame=Blame.ROUTE,
        is_local=is_local,
        is_lasting=is_lasting,
    )


def of_sent(status: object) -> Outcome:
    """Read what a backend that raised nothing left on the mail: an ``anymail_status``, or None."""
    told = getattr(status, "status", None) or set()
    response = provider_errors.response_of(getattr(status, "esp_response", None))
    if told and told <= {"failed", "invalid", "rejected"}:
        reply = f"the provider told: {', '.join(sorted(told))}"
        return _of_response(response, reply, refused="failed" not in told)
    return Outcome(
        kind=Kind.ACCEPTED,
        reply=words(str(getattr(status, "message_id", None) or "")),
        code=response.status if response else None,
    )


def _of_call(error: BaseException, called: frozenset[str], *, sending: bool) -> Outcome:
    response = provider_errors.response_of(getattr(error, "response", None))
    if called & UNSUPPORTED:
        return Outcome(kind=Kind.PERMANENT, reply=named(error), blame=Blame.CAPABILITY)
    if response or called & REFUSED:
        return _of_response(response, named(error), refused=bool(called & REFUSED))
    if called & NOT_SET_UP:
        return _of_route(error, Kind.PERMANENT, is_lasting=True)
    if not sending or (called & NOT_CONNECTED and not called & BROKEN_OFF):
        return _of_route(error, Kind.TRANSIENT)
    # What is left and was not sent is Anymail's own refusal, such as to guess a domain.
    return _of_route(error, Kind.UNKNOWN if called & UNANSWERED else Kind.PERMANENT)


def _of_response(response: ApiResponse | None, reply: str, *, refused: bool) -> Outcome:
    meaning = api_responses.classify(response, refused=refused)
    return Outcome(
        kind=meaning.kind,
        reply=reply,
        blame=meaning.finding.blame,
        code=response.status if response else None,
        retry_after_seconds=response.retry_after_seconds if response else None,
        is_local=meaning.finding.is_local,
        is_of_sender=meaning.finding.is_of_sender,
        is_lasting=meaning.is_lasting,
    )


def _of_refusal(code: int, text: str | bytes, *, stage: Stage) -> Outcome:
    # What smtplib raises was not taken, whatever its code: 250 to DATA, 252 to RCPT, -1 for none.
    outcome = of_reply(code, text, stage=stage)
    if outcome.kind is not Kind.ACCEPTED:
        return replace(outcome, code=code if code > 0 else None)
    is_early = stage in {Stage.OPENING, Stage.SENDER}
    blame = Blame.ROUTE if is_early else Blame.MAIL
    return replace(outcome, kind=Kind.TRANSIENT, blame=blame)


def named(error: BaseException) -> str:
    """Tell an error by its type and its words, if it can say any."""
    name = type(error).__name__
    try:
        return words(f"{name}: {error}")
    except BaseException as worse:
        if ends_process(worse):
            raise
        return words(name)


def words(text: str | bytes) -> str:
    """Make a stranger's text fit to store and to log: a line of ASCII, addresses masked."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    # Masked first: a letter that is not ASCII would end the address.
    masked = mask_addresses(_beginning(text))
    return re.sub(r"[^\x20-\x7e]+", " ", masked).strip()


def _beginning(text: str) -> str:
    """Cut it so that half a code, which nobody would redact, is not left at the end."""
    if len(text) <= READ_LENGTH:
        return text
    without_base64 = re.sub(r"\S{1,76}$", "", text[:READ_LENGTH])  # a line's length in MIME
    return re.sub(r"[\W\d_]+$", "", without_base64)
