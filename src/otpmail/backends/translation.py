"""Django's mails in the wire's words, and the wire's ends in Django's and otpmail's.

In: an ``EmailMessage``; a mail's end. Out: a `Mail`; an `Outcome`, or an ``smtplib`` exception.
Knows nothing of: sessions and pools.
"""

import smtplib
from collections.abc import Sequence
from dataclasses import replace

import django
from django.core.mail import EmailMessage

from otpmail.addresses import CONTROL, addr_spec, needs_utf8
from otpmail.addresses.spelling import spell
from otpmail.backends import policies
from otpmail.backends.flatten import flatten
from otpmail.outcomes import (
    Blame,
    Kind,
    Outcome,
    Stage,
    named,
    of_error,
    of_reply,
    words,
)
from otpmail.outcomes.status_codes import TOO_LARGE
from otpmail.smtp import hints
from otpmail.smtp.addresses import path
from otpmail.smtp.errors import (
    InvalidArgumentError,
    Phase,
    RecipientsRefusedError,
    RefusedError,
    TimedOutError,
    TooLargeError,
    UnsupportedError,
    WireError,
    ends_process,
    is_lasting,
)
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.refusals import is_of_session
from otpmail.smtp.sending import Result

OPENING = frozenset(
    {Phase.POOL, Phase.CONNECT, Phase.BANNER, Phase.EHLO, Phase.STARTTLS, Phase.TLS, Phase.AUTH}
)
"""The phases before any mail."""

STAGES = {Phase.RSET: Stage.SENDER, Phase.MAIL: Stage.SENDER, Phase.RCPT: Stage.RECIPIENT}
STAGES |= dict.fromkeys(OPENING, Stage.OPENING)
"""What is not here is `Stage.CONTENT`."""


def as_mail(message: EmailMessage) -> Mail:
    """Render a Django message. Raises ``ValueError`` if an address or a header is not in order."""
    sender = envelope_address(message.from_email, phase=Phase.MAIL)
    recipients = tuple(envelope_address(one) for one in message.recipients())
    if not recipients:
        raise ValueError("The message has no recipients")
    if any(CONTROL.search(str(name)) for name in message.extra_headers):
        raise ValueError("Invalid header: its name holds a control character")
    utf8 = any(map(needs_utf8, (sender, *recipients)))
    message = spell(message)
    content = None if utf8 else flatten(message)
    if content is None:
        content = _written(message, utf8=utf8)
    return Mail(sender=sender, recipients=recipients, content=content, utf8=utf8)


def _written(message: EmailMessage, *, utf8: bool) -> bytes:
    if django.VERSION < (6, 0):
        return message.message().as_bytes()
    policy = policies.SMTPUTF8 if utf8 else policies.SMTP
    return message.message(policy=policy).as_bytes()


def envelope_address(address: object, *, phase: Phase = Phase.RCPT) -> str:
    """Take the bare address out of one with a name. Raises ``ValueError`` if no server takes it."""
    if address is None:
        raise ValueError("Invalid address: there is none")
    spec = addr_spec(address)
    path(spec, phase=phase, utf8=True)
    return spec


def as_mails(
    messages: Sequence[EmailMessage],
) -> tuple[dict[int, Mail], dict[int, Outcome | None]]:
    """Render messages, each at its place; what one raises is its outcome, unless it `ends_process`.

    It is the mail's own fault and none of the route's: a template, a header, an attachment.
    """
    mails: dict[int, Mail] = {}
    outcomes: dict[int, Outcome | None] = {}
    for place, message in enumerate(messages):
        try:
            mails[place] = as_mail(message)
        except BaseException as error:
            if ends_process(error):
                raise
            outcomes[place] = replace(of_error(error, sending=False), blame=Blame.MAIL)
    return mails, outcomes


def as_outcome(end: Result) -> Outcome | None:
    """Tell the end of a mail as otpmail does (docs: what becomes of a mail)."""
    outcome = _outcome_of(end)
    if outcome is None or not isinstance(end, WireError) or not (hint := _hint_of(end)):
        return outcome
    hinted = replace(outcome, hint=hint)
    if end.phase in OPENING:  # nothing of the mail can be in it, so it may be cut
        return hinted.saying(hinted.said)
    return replace(hinted, reply=f"{hinted.said} ({hint})")


def _hint_of(end: WireError) -> str:
    return end.hint or (hints.of_refusal(end) if isinstance(end, RefusedError) else "")


def _outcome_of(end: Result) -> Outcome | None:
    match end:
        case None:
            return None
        case Sent():
            outcome = of_reply(end.reply.code, end.reply.text)
            return _with_refused(outcome, end) if end.refused else outcome
        case RefusedError():
            stage = STAGES.get(end.phase, Stage.CONTENT)
            outcome = of_reply(end.reply.code, end.reply.text, stage=stage)
            return replace(outcome, retry_after_seconds=end.retry_after)
        case UnsupportedError() | InvalidArgumentError():
            of_the_mail = Blame.CAPABILITY if isinstance(end, UnsupportedError) else Blame.MAIL
            is_early = end.phase in OPENING
            blame = Blame.ROUTE if is_early else of_the_mail
            return Outcome(kind=Kind.PERMANENT, reply=named(end), blame=blame, is_lasting=is_early)
        case TimedOutError() if end.phase is Phase.POOL:  # all sessions are in use: of no route
            return Outcome(kind=Kind.TRANSIENT, reply=named(end), blame=Blame.CAPABILITY)
        case _:
            return _of_break(end)


def _of_break(end: WireError) -> Outcome:
    is_late = isinstance(end, TimedOutError) or isinstance(end.__cause__, TimedOutError)
    return Outcome(
        kind=Kind.UNKNOWN if end.in_doubt else Kind.TRANSIENT,
        reply=named(end),
        blame=Blame.ROUTE,
        # A relay may wait for the recipient's own server before it answers.
        is_local=is_late and STAGES.get(end.phase) in {Stage.RECIPIENT, None},
        is_lasting=is_lasting(end),
    )


def spoils_sessions(end: Result) -> bool:
    """Whether a mail was kept back by what speaks of its session, or of every mail on its way."""
    if isinstance(end, RefusedError) and is_of_session(end.reply, end.phase):
        return True
    outcome = as_outcome(end)
    if outcome is None or outcome.kind is Kind.ACCEPTED:
        return False
    return outcome.blame is Blame.ROUTE


def _with_refused(outcome: Outcome, sent: Sent) -> Outcome:
    first = next(iter(sent.refused.values()))
    reply = words(f"{outcome.reply}; {len(sent.refused)} of the recipients refused: {first}")
    return Outcome(kind=outcome.kind, reply=reply, code=outcome.code)


def as_smtplib(error: WireError, mail: Mail | None = None) -> Exception:
    """Tell an error as ``smtplib`` would have raised it under Django's backend."""
    sender = mail.sender if mail else ""
    match error:
        case InvalidArgumentError():
            return error  # a ValueError
        case RecipientsRefusedError():
            return smtplib.SMTPRecipientsRefused(
                {
                    address: (reply.code, reply.message)
                    for address, reply in error.recipients.items()
                }
            )
        case RefusedError():
            return _refusal(error, sender)
        case TooLargeError():
            return smtplib.SMTPSenderRefused(TOO_LARGE, str(error).encode(), sender)
        case UnsupportedError():
            return smtplib.SMTPNotSupportedError(str(error))
        case _ if error.phase in {Phase.CONNECT, Phase.TLS} and isinstance(
            error.__cause__, OSError
        ):
            return error.__cause__
        case _ if error.phase is Phase.POOL:
            return TimeoutError(str(error))
        case _:
            return smtplib.SMTPServerDisconnected(f"{error} ({error.phase})")


def _refusal(error: RefusedError, sender: str) -> smtplib.SMTPResponseException:
    code, message = error.reply.code, error.reply.message
    match error.phase:
        case Phase.BANNER:
            return smtplib.SMTPConnectError(code, message)
        case Phase.EHLO:
            return smtplib.SMTPHeloError(code, message)
        case Phase.AUTH:
            return smtplib.SMTPAuthenticationError(code, message)
        case Phase.MAIL:
            return smtplib.SMTPSenderRefused(code, message, sender)
        case Phase.DATA | Phase.BODY:
            return smtplib.SMTPDataError(code, message)
        case _:
            return smtplib.SMTPResponseException(code, message)
