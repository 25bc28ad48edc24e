"""The API as one object: its routes, its document, and what its exceptions are answered with.

In: URLs, exceptions. Out: an OpenAPI document, problems.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from mobile_api import problems
from mobile_api.auth import Bearer
from mobile_api.problems import Problem
from mobile_api.schemas import ProblemOut
from mobile_api.views import router
from otpmail.exceptions import NotHereError
from otpmail.outcomes.describing import log_fault

RETRY_AFTER = timedelta(seconds=5)
ISSUING = frozenset({"create_transfer", "resend_code"})
"""Views that issue a code."""

SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "int_type": "must be a whole number",
    "string_type": "must be text",
    "string_unicode": "must be text in Unicode",
    "string_pattern_mismatch": "is not of the right form",
}
"""What a person is told instead of pydantic's own words."""

ERRORS_SHOWN = 10
NAME_LENGTH = 60

log = logging.getLogger("mobile_api")


class Api(NinjaAPI):
    """Ninja's API, whose document tells what a problem looks like."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """Add the schema that every declared problem refers to."""
        document = super().get_openapi_schema(**options)
        problem = ProblemOut.model_json_schema(mode="serialization")
        document["components"]["schemas"]["Problem"] = problem
        return document


api = Api(
    title="The cooperative's kiosk",
    version="1",
    description="Sign in, start a transfer, type the code that is mailed to you.",
    urls_namespace="mobile_api",
    auth=Bearer(),
)
api.add_router("", router)


def _problem(_: HttpRequest, error: Any) -> HttpResponse:
    response: HttpResponse = error.response()
    return response


def _http_error(_: HttpRequest, error: Any) -> HttpResponse:
    return problems.of_status(error.status_code).response()


def _invalid(_: HttpRequest, error: Any) -> HttpResponse:
    """Blame the part that is wrong: a path that is no id names nothing, a header, or the body."""
    source = error.errors[0]["loc"][0]
    if source == "path":
        return Problem(problems.NO_SUCH_TRANSFER, "You have no such transfer.").response()
    if source == "header":
        detail = "The header Idempotency-Key is missing, or is no key."
        return Problem(problems.BAD_KEY, detail).response()
    told = [_told(fault) for fault in error.errors[:ERRORS_SHOWN]]
    detail = f"{told[0]['pointer'][2:] or 'The body'} {told[0]['detail']}."
    return Problem(problems.INVALID, detail, errors=told).response()


def _told(fault: dict[str, Any]) -> dict[str, str]:
    # After the source and the view's argument come the body's own names, which the client chose.
    pointer = "".join(f"/{step}"[:NAME_LENGTH] for step in fault["loc"][2:])
    words = fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return {"pointer": f"#{pointer}", "detail": SENTENCES.get(fault["type"], words)}


def _unavailable(request: HttpRequest, error: Any) -> HttpResponse:
    """Say so whether a database or a key is not to be had just now."""
    log.error("The kiosk cannot answer: %s", type(error).__name__)
    retry_at = timezone.now() + RETRY_AFTER
    if request.resolver_match and request.resolver_match.url_name in ISSUING:
        detail = "No mail can be enqueued just now, so nothing was issued."
        return Problem(problems.NO_DELIVERY, detail, retry_at=retry_at).response()
    detail = "The kiosk cannot answer just now."
    return Problem(problems.UNAVAILABLE, detail, retry_at=retry_at).response()


def _fault(request: HttpRequest, error: Any) -> HttpResponse:
    log_fault(log, f"Fault in {request.method} {request.path}", error)
    return problems.of_status(500).response()


_HANDLERS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    Problem: _problem,
    HttpError: _http_error,
    ValidationError: _invalid,
    OperationalError: _unavailable,
    InterfaceError: _unavailable,
    InternalError: _unavailable,
    NotHereError: _unavailable,
    Exception: _fault,
}
for _kind, _handler in _HANDLERS.items():
    api.add_exception_handler(_kind, _handler)
