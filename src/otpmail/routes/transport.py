"""Mails are sent through one backend of one route, and whatever comes of each is an outcome.

In: a route, mails, the seconds it may take, and a last question whether one is still valid.
Out: an `Outcome` each, or None if it was not valid any more and nothing was written.
Knows nothing of: other routes.

A backend with ``send_outcomes`` (otpmail's own) keeps its connections itself, and its time. Any
other is looked at before use, and closed after a fault so that the next mail opens it anew.
"""

import contextlib
import select
import socket
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from otpmail.addresses import addr_spec, needs_utf8
from otpmail.addresses.spelling import spell
from otpmail.db import compat
from otpmail.display import redaction
from otpmail.exceptions.foreign import ends_process
from otpmail.outcomes import Blame, Kind, Outcome, of_error, of_sent
from otpmail.routes.backend_pool import backend_pools, close_backend

NO_UTF8 = Outcome(
    kind=Kind.PERMANENT, reply="the backend does not know SMTPUTF8", blame=Blame.CAPABILITY
)

type StillValid = Callable[[EmailMessage], bool]


def send(
    route: str, mails: Sequence[EmailMessage], *, seconds: float, still_valid: StillValid
) -> Sequence[Outcome | None]:
    """Send mails through a route. Never raises: whatever a backend raises becomes an outcome.

    What is said of a mail is redacted here, before anybody counts, logs or stores it.
    """
    try:
        outcomes = _outcomes(route, mails, seconds, still_valid)
    except BaseException as error:  # noqa: BLE001 - a foreign backend may raise anything
        outcomes = [_fault(error, sending=True)] * len(mails)
    return [_redacted(outcome, mail) for outcome, mail in zip(outcomes, mails, strict=True)]


def _redacted(outcome: Outcome | None, mail: EmailMessage) -> Outcome | None:
    if outcome is None:
        return None
    try:
        return outcome.saying(redaction.of_mail(outcome.said, mail))
    except BaseException as error:
        if ends_process(error):
            raise
        return replace(outcome, reply="")


def _outcomes(
    route: str, mails: Sequence[EmailMessage], seconds: float, still_valid: StillValid
) -> Sequence[Outcome | None]:
    with contextlib.ExitStack() as stack:
        try:
            backend = stack.enter_context(backend_pools[route].acquire())
            sends_outcomes = hasattr(backend, "send_outcomes")
        except BaseException as error:  # noqa: BLE001 - a foreign backend may raise anything
            return [_early(error)] * len(mails)
        if not sends_outcomes:
            return [_send_through(backend, mail, still_valid) for mail in mails]
        ends: list[Any] = [*backend.send_outcomes(mails, timeout=seconds, still_valid=still_valid)]
    if len(ends) != len(mails):
        ends = [f"{len(ends)} outcomes for {len(mails)} mails"] * len(mails)
    return [end if end is None or isinstance(end, Outcome) else _senseless(end) for end in ends]


def _early(error: BaseException) -> Outcome:
    # Before a mail is in its hands, a backend speaks of itself.
    return replace(_fault(error, sending=False), blame=Blame.ROUTE)


def _fault(error: BaseException, *, sending: bool) -> Outcome:
    if ends_process(error):
        raise error
    return of_error(error, sending=sending)


def _senseless(end: object) -> Outcome:
    reply = f"the backend told no outcome: {end if isinstance(end, str) else type(end).__name__}"
    return Outcome(kind=Kind.UNKNOWN, reply=reply, blame=Blame.ROUTE)


def open_session(route: str, *, seconds: float) -> Outcome | None:
    """Have a backend connect and sign in anew. Gives its fault, or None if there is none.

    Never raises. Ours takes no longer than told; any other is asked by its ``open``, and keeps the
    connection for the next mail.
    """
    try:
        with backend_pools[route].acquire() as backend:
            if hasattr(backend, "reach"):
                fault: Outcome | None = backend.reach(timeout=seconds)
                return fault
            close_backend(backend)
            try:
                backend.open()
            except BaseException:
                close_backend(backend)
                raise
    except BaseException as error:  # noqa: BLE001 - a foreign backend may raise anything
        return _early(error)
    return None


def keeps_time(route: str) -> bool:
    """Tell whether its backend ends in the time it is given. What cannot be made ends at once."""
    try:
        with backend_pools[route].acquire() as backend:
            return hasattr(backend, "send_outcomes")
    except BaseException as error:  # noqa: BLE001 - a foreign backend may raise anything
        _early(error)  # raises what ends the process
        return True


def _send_through(
    backend: BaseEmailBackend, mail: EmailMessage, still_valid: StillValid
) -> Outcome | None:
    try:
        if _is_stale(backend):
            close_backend(backend)
        backend.open()
    except BaseException as error:  # noqa: BLE001 - a foreign backend may raise anything
        close_backend(backend)
        return _early(error)
    if not still_valid(mail):
        return None
    try:
        mail = copy(spell(mail))  # Anymail writes on it, and another route may have it in hand
        if not compat.may_write_utf8(type(backend)) and _needs_utf8(mail):
            return NO_UTF8
        sent = backend.send_messages([mail])
    except BaseException as error:  # noqa: BLE001 - a foreign backend may raise anything
        close_backend(backend)
        return _of_sending(error, mail)
    if not sent:
        close_backend(backend)
        return Outcome(kind=Kind.TRANSIENT, reply="the backend sent nothing", blame=Blame.ROUTE)
    return of_sent(getattr(mail, "anymail_status", None))


def _of_sending(error: BaseException, mail: EmailMessage) -> Outcome:
    outcome = _fault(error, sending=True)
    if isinstance(error, ValueError) and outcome.blame is Blame.MAIL and _can_be_written(mail):
        return replace(outcome, blame=Blame.CAPABILITY)  # another backend may take the address
    return outcome


def _can_be_written(mail: EmailMessage) -> bool:
    try:
        mail.message()
    except Exception:  # noqa: BLE001 - a class of the project's own may raise anything
        return False
    return True


def _needs_utf8(mail: EmailMessage) -> bool:
    try:
        return any(needs_utf8(addr_spec(one)) for one in (mail.from_email, *mail.recipients()))
    except ValueError:  # the backend says so
        return False


def _is_stale(backend: BaseEmailBackend) -> bool:
    # An SMTP server speaks only when spoken to: a kept connection that has something to read was
    # closed or is about to be (RFC 5321, 3.8 and 4.2.5: 421).
    sock = getattr(getattr(backend, "connection", None), "sock", None)
    if not isinstance(sock, socket.socket):
        return False
    poll = select.poll()  # and not select(), which knows the first 1024 files only
    try:
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True
