"""Anymail's events, whose signatures Anymail has checked, become ours, whatever is in them.

In: Anymail's signal ``tracking``; its views. Out: a `ReceivedEvent` for the delivery that the
mail's metadata names; views that bear more.
Knows nothing of: what follows from an event.

A view of Anymail's answers 200 when nothing is raised here, and 500 when something is: then the
provider comes again. An event of a mail that is none of ours is no reason to come again, and what
cannot be read is none either. So a view that is made `tolerant`

- skips and logs an event that cannot be read, and takes the others of its batch;
- takes a batch that mixes what Anymail does not, as Mandrill's may reports and mails that came in;
- takes a mebibyte, whatever ``DATA_UPLOAD_MAX_MEMORY_SIZE`` says, and answers 413 above that;
- answers 400 to what stands where a signature should and is none, as to a wrong one;
- is not found, 404, where the provider is not in use: its settings lack, or its package.
"""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.parser import BytesParser
from functools import wraps
from typing import Any
from uuid import UUID

from anymail.signals import AnymailInboundEvent, EventType, RejectReason, inbound, tracking
from django.core.exceptions import (
    ImproperlyConfigured,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from django.views.decorators.csrf import csrf_exempt

from otpmail.db import database
from otpmail.delivery.rendering import METADATA
from otpmail.events import handling
from otpmail.events.handling import ReceivedEvent
from otpmail.models import DeliveryEvent
from otpmail.outcomes import provider_errors
from otpmail.outcomes.describing import describe

EVENTS = {
    EventType.DEFERRED: DeliveryEvent.DEFERRED,
    EventType.DELIVERED: DeliveryEvent.DELIVERED,
    EventType.REJECTED: DeliveryEvent.REJECTED,
    EventType.FAILED: DeliveryEvent.REJECTED,
    EventType.BOUNCED: DeliveryEvent.BOUNCED,
    EventType.COMPLAINED: DeliveryEvent.COMPLAINED,
}
"""All other events (queued, opened, clicked) tell nothing new of a mail's way."""

NOT_SENT_ANY_MORE = frozenset(
    {RejectReason.INVALID, RejectReason.BOUNCED, RejectReason.SPAM, RejectReason.UNSUBSCRIBED}
)
"""Why a provider will not send to an address at all: it bounced or complained before."""

FOR_GOOD = re.compile(r"\b5\.(?:1\.\d{1,3}|2\.1)\b|\bpermanent\b|\bhard bounce\b", re.IGNORECASE)
"""A bad address or a disabled mailbox (RFC 3463, 3.2 and 3.3), or a provider's own words for it.
A full mailbox or a blocked sender is neither, and Anymail's reasons do not tell them apart."""

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""No time of an event is before it; some databases keep none that is much earlier."""

MAX_BYTES = 1024 * 1024

UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What Python raises for values of another kind than a provider's documentation says."""

type View = Callable[..., HttpResponseBase]

log = logging.getLogger("otpmail.events.webhooks")


@receiver(tracking, dispatch_uid="otpmail")
def handle_tracking(event: Any, esp_name: str, **_: Any) -> None:
    """Take one event. Raises what the database raises."""
    kind = EVENTS.get(_text(event.event_type))
    if kind is None:
        return
    delivery_id = _delivery_id(event.metadata)
    if delivery_id is None or not handling.handle(delivery_id, _received(event, esp_name, kind)):
        log.info("Email event of an unknown mail provider=%s event=%s", esp_name, kind)


def _received(event: Any, esp_name: str, kind: DeliveryEvent) -> ReceivedEvent:
    now = database.now()
    rejected = _text(event.reject_reason)
    told = " ".join(filter(None, (rejected, _text(event.description), _text(event.mta_response))))
    return ReceivedEvent(
        kind=kind,
        at=_moment(event.timestamp, now),
        reason=f"{esp_name}: {told}" if told else esp_name,
        address_is_dead=_is_dead(rejected, kind, told),
    )


def _text(value: object) -> str:
    """Read what should be text or None, and may be anything that JSON has."""
    try:
        return "" if value is None else str(value)
    except ValueError:  # a number of too many digits
        return ""


def _moment(told: object, now: datetime) -> datetime:
    """Read a time. Whoever is ahead of us would have the last word; one of long ago is none."""
    if not isinstance(told, datetime):
        return now
    moment = told if told.tzinfo else told.replace(tzinfo=UTC)
    return min(moment, now) if moment >= FIRST else now


def _is_dead(reject_reason: str, kind: DeliveryEvent, told: str) -> bool:
    match kind:
        case DeliveryEvent.REJECTED:
            return reject_reason in NOT_SENT_ANY_MORE
        case DeliveryEvent.BOUNCED:
            return reject_reason == RejectReason.INVALID or bool(FOR_GOOD.search(told))
        case _:
            return False


def _delivery_id(metadata: Any) -> UUID | None:
    try:
        return UUID(metadata[METADATA]) if isinstance(metadata, Mapping) else None
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def tolerant(view: Any) -> View:
    """Make a view of Anymail's, as its ``as_view()`` gives it, tolerant."""
    kind: Any = type(view.view_class.__name__, (_Tolerant, view.view_class), {})
    inner = kind.as_view(**view.view_initkwargs)

    @csrf_exempt
    @wraps(inner)
    def handle(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return _refusal(request) or inner(request, *args, **kwargs)
        except ImproperlyConfigured:  # Anymail's is one
            raise Http404("this provider is not in use") from None

    return handle


def _refusal(request: HttpRequest) -> HttpResponse | None:
    try:
        body = request.read(MAX_BYTES + 1)
    except UnreadablePostError:  # whoever calls has gone
        return HttpResponse(status=400)
    if len(body) > MAX_BYTES:
        return HttpResponse(status=413)
    request._body = body  # noqa: SLF001 - else Django reads it, and refuses what is over its limit
    if request.content_type == "multipart/form-data":
        _read_form(request, body)
    return None


def _read_form(request: Any, body: bytes) -> None:
    """Read what Django's parser of forms finds too big, which has the limit inside."""
    try:
        request.POST  # noqa: B018 - it is read here
    except RequestDataTooBig:
        head = f"Content-Type: {request.META['CONTENT_TYPE']}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(head + body).walk()
        fields = QueryDict(mutable=True)
        for part in parts:
            name = part.get_param("name", header="content-disposition")
            if name is not None:
                value: Any = part.get_payload(decode=True) or b""
                fields.appendlist(str(name), value.decode(errors="replace"))
        request._post, request._files = fields, MultiValueDict()  # noqa: SLF001


class _ByKind:
    """Sends each event of a batch to whom it is for."""

    def send(self, event: object, **named: Any) -> None:
        signal = inbound if isinstance(event, AnymailInboundEvent) else tracking
        signal.send(event=event, **named)


class _Tolerant:
    """Stands before a view of Anymail's in a class's bases."""

    @property
    def signal(self) -> _ByKind:
        return _ByKind()

    @signal.setter
    def signal(self, _: object) -> None:
        """Where Mandrill's view keeps which kind its whole batch is of."""

    def run_validators(self, request: HttpRequest) -> None:
        try:
            super().run_validators(request)  # type: ignore[misc]
        except Exception as error:
            if not (
                _is_unreadable(error) or "anymail.AnymailError" in provider_errors.names(error)
            ):
                raise
            raise SuspiciousOperation(type(error).__name__) from None

    def parse_events(self, request: HttpRequest) -> list[Any]:
        events = self._read(super().parse_events, request) or []  # type: ignore[misc]
        return [event for event in events if event is not None]

    def esp_to_anymail_event(self, *args: Any, **kwargs: Any) -> Any:
        """Of those that come in batches, one."""
        return self._read(super().esp_to_anymail_event, *args, **kwargs)  # type: ignore[misc]

    def _read(self, read: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return read(*args, **kwargs)
        except Exception as error:
            if not _is_unreadable(error):
                raise
            name = self.esp_name  # type: ignore[attr-defined]
            log.warning("Email event cannot be read provider=%s: %s", name, describe(error))
            return None


def _is_unreadable(error: Exception) -> bool:
    if isinstance(error, ImproperlyConfigured | SuspiciousOperation):
        return False
    return isinstance(error, UNREADABLE) or isinstance(error.__cause__, UNREADABLE)
