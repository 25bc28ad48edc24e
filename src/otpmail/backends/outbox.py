"""Any Django mail through the outbox: ``send_mail`` returns when its row is put, and couriers send.

In: Django messages. Out: encrypted rows in the caller's transaction, a hint once it is committed.
Knows nothing of: couriers, what becomes of a mail.

What is rolled back was never enqueued. A mail that cannot be sent by any backend (a header with a
line break, an address that is none) raises in the caller, before any row is put. A mail to several
recipients is accepted when a server took it for one of them: to send it again for the others would
double it, so those whom the server refused are told in the attempt's reply.

A log handler's mail must outlive what it tells of, and must not be the cause of another: it joins
no transaction, leaves directly where there is no database to be had, and raises nothing
(``runtime.logmails``).
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from otpmail import routes
from otpmail.addresses.masking import mask
from otpmail.backends.roundtrip import StorableMail, check_roundtrip
from otpmail.backends.servers import invalid
from otpmail.conf import settings
from otpmail.crypto import encryption
from otpmail.db import compat, database
from otpmail.db.compat import uuid7
from otpmail.delivery import outbox
from otpmail.engines import enqueue
from otpmail.exceptions import UnstorableMailError
from otpmail.exceptions.foreign import ends_process
from otpmail.models import Delivery, Queue, StoredMessage
from otpmail.outcomes import Kind
from otpmail.outcomes.describing import describe
from otpmail.runtime import logmails

DIRECT_SECONDS = 20.0
"""What a log handler's mail may take that leaves directly: somebody waits meanwhile."""

log = logging.getLogger("otpmail")


class EmailBackend(BaseEmailBackend):
    """Enqueues mails instead of sending them.

    ``routes`` are the aliases of ``MAILERS`` through which they leave; by default those of
    ``OTPMAIL_ROUTES``. With ``fail_silently`` a database that is away loses the mail, as a mail
    server that is away does under Django's backend.
    """

    def __init__(
        self,
        *,
        routes: Sequence[str] | None = None,
        fail_silently: bool = False,
        alias: str | None = None,
        **unknown: Any,
    ) -> None:
        if alias is not None:
            unknown["alias"] = alias
        super().__init__(**unknown)
        self.alias = alias
        self.fail_silently = fail_silently
        own = routes or compat.options_of(BACKEND).get("routes") or settings.ROUTES
        self.routes = list(own)
        for route in filter(is_outbox, self.routes):
            raise invalid(f"'routes' leads into the outbox again, by {route!r}.", alias)

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Enqueue mails, all or none, and return how many. Raises what Django's backends raise."""
        messages = [message for message in email_messages if message.recipients()]
        if not messages:
            return 0
        if handled := logmails.being_handled():
            return self._take_of_log(messages, handled)
        try:
            return self._take(messages)
        except DatabaseError:
            if not self.fail_silently:
                raise
            return 0

    def _take(self, messages: Sequence[EmailMessage], *, are_log_mails: bool = False) -> int:
        mails = [self._stored(message) for message in messages]
        for mail in mails:
            mail.delivery.is_log_mail = are_log_mails
        # After a fault that it is not told of, the caller's transaction goes on.
        with database.atomic(savepoint=self.fail_silently or are_log_mails):
            enqueue.enqueue(Queue.MAIL, *outbox.own_mails(mails, now=database.now()))
        return len(mails)

    def _take_of_log(
        self, messages: Sequence[EmailMessage], handled: Sequence[logmails.Chain]
    ) -> int:
        if logmails.is_marked(handled):
            return 0
        if logmails.is_nested(handled):
            _tell_loss("it was logged while a handler was at work on another line")
            return 0
        return self._take_log_mails(messages)

    def _take_log_mails(self, messages: Sequence[EmailMessage]) -> int:
        """Take what a log handler made, in whatever state the database is. Never raises."""
        try:
            if database.alias() not in database.open_transactions():  # one may be rolled back
                return self._take(messages, are_log_mails=True)
        except BaseException as error:
            if ends_process(error):
                raise
        try:
            return self._send_directly(messages)
        except BaseException as error:
            if ends_process(error):
                raise
            _tell_loss(describe(error))
            return 0

    def _send_directly(self, messages: Sequence[EmailMessage]) -> int:
        with logmails.about(True):
            rounds = routes.send(
                messages,
                routes=self.routes,
                seconds=DIRECT_SECONDS,
                may_double=False,
                still_valid=lambda: set(range(len(messages))),
            )
        sent = sum(
            Kind.ACCEPTED in {route_attempt.outcome.kind for route_attempt in result.route_attempts}
            for result in rounds
        )
        if sent < len(messages):
            failed = [
                f"route={route_attempt.route} server={compat.server_of(route_attempt.route)} "
                f"{route_attempt.outcome.reply}"
                for result in rounds
                for route_attempt in result.route_attempts
                if route_attempt.outcome.kind is not Kind.ACCEPTED
            ]
            _tell_loss("; ".join(failed) or f"no route is open of {', '.join(self.routes)}")
        return sent

    @sensitive_variables()
    def _stored(self, message: EmailMessage) -> StoredMessage:
        storable = check_roundtrip(message)
        self._check_routes(type(message).__name__, storable)
        delivery = Delivery(id=uuid7(), message_id=storable.message_id)
        key_id, content = encryption.encrypt(storable.text, delivery.pk)
        return StoredMessage(
            delivery=delivery,
            key_id=key_id,
            content=content,
            routes=self.routes,
            to=mask(storable.recipients[0]),
            recipient_count=len(storable.recipients),
        )

    def _check_routes(self, name: str, storable: StorableMail) -> None:
        for route in self.routes:
            if storable.has_hooks and is_api(route):
                why = f"{name} makes its message itself, but the route {route!r} reads attributes"
            elif not (storable.has_sender or is_api(route)):
                why = f"this {name} has no from_email, and the route {route!r} knows no templates"
            else:
                continue
            raise UnstorableMailError(
                f"{why}: send it through an alias of MAILERS with another backend."
            )


def _tell_loss(why: str) -> None:
    log.warning("Email of the log is lost: %s", why, extra=logmails.extra(is_log_mail=True))


BACKEND = f"{EmailBackend.__module__}.{EmailBackend.__qualname__}"


def is_outbox(alias: str) -> bool:
    """Tell whether an alias of ``MAILERS`` leads into the outbox."""
    return EmailBackend in _classes(alias)


def is_api(alias: str) -> bool:
    """Tell whether an alias leads to one of Anymail's backends, which read attributes."""
    return any(cls.__module__.startswith("anymail.") for cls in _classes(alias))


def _classes(alias: str) -> Sequence[type]:
    try:
        backend = import_string(compat.backend_of(alias))
    except ImportError:  # Django says so when it is used
        return ()
    return backend.__mro__ if isinstance(backend, type) else ()
