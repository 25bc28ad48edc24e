"""Anymail's views of events, made fit for whatever comes: taken or skipped, and never a 500.

In: one of Anymail's views. Out: a view that calls it.
Knows nothing of: what follows from an event.

- An event that cannot be read is skipped and logged; the others of its batch are taken.
- A batch may have a mebibyte, whatever ``DATA_UPLOAD_MAX_MEMORY_SIZE`` says; above that 413.
- What stands where a signature should and is none is answered 400, as a wrong signature is.
- A provider that is not in use, as its settings or its package lack, is not found: 404.

What the database raises is let through: the provider comes again.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from anymail.exceptions import (
    AnymailAPIError,
    AnymailConfigurationError,
    AnymailWebhookValidationFailure,
)
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from otpmail.describing import describe

MAX_BYTES = 1024 * 1024

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What Python raises for values of another kind than a provider's documentation says."""

type View = Callable[..., HttpResponseBase]

log = logging.getLogger("otpmail.webhooks")


def tolerant(view: Any) -> View:
    """Make a view of Anymail's, as its ``as_view()`` gives it, tolerant."""
    kind: Any = type(view.view_class.__name__, (_Tolerant, view.view_class), {})
    inner = kind.as_view(**view.view_initkwargs)

    @csrf_exempt
    @wraps(inner)
    def handle(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return _refusal(request) or inner(request, *args, **kwargs)
        except AnymailConfigurationError:
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
    return None


class _Tolerant:
    """Stands before a view of Anymail's in a class's bases."""

    def run_validators(self, request: HttpRequest) -> None:
        try:
            super().run_validators(request)  # type: ignore[misc]
        except Exception as error:
            if not (_is_unreadable(error) or isinstance(error, AnymailAPIError)):
                raise
            raise AnymailWebhookValidationFailure(type(error).__name__) from None

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
    if isinstance(error, AnymailConfigurationError | SuspiciousOperation):
        return False
    return isinstance(error, UNREADABLE) or isinstance(error.__cause__, UNREADABLE)
