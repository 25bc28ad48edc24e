"""No error of the API leaves but as a problem, and no body comes in that is too large or no JSON.

The outermost of the middleware, so that it sees what Django itself answers.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.debug import sensitive_variables

from mobile_api import problems

MAX_BODY_BYTES = 64 * 1024
MAX_EVENTS_BYTES = 1024 * 1024
"""A provider tells many events at once."""

API = "/api/"
EVENTS = "/anymail/"
PAGES = "/codes/"
"""For people: these say in words what is wrong."""

type Handler = Callable[[HttpRequest], HttpResponseBase]


def problems_only(get_response: Handler) -> Handler:
    """Answer with problems, and keep nothing of the API in a cache."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        # Before anything can fail: Django's reports tell of a form what no view has marked yet.
        request.sensitive_post_parameters = "__ALL__"  # type: ignore[attr-defined]
        response = _refusal(request) or _as_problem(request, _answered(request, get_response))
        if request.path.startswith(API):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return handle


@sensitive_variables()
def _answered(request: HttpRequest, get_response: Handler) -> HttpResponseBase:
    """Answer; in a report of a fault no frame below shows what was sent: ninja's hold it too."""
    return get_response(request)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if "Transfer-Encoding" in request.headers:  # then Django would read no body at all
        return problems.of_status(411).response()
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal():
        return problems.of_status(400).response()
    most = MAX_EVENTS_BYTES if request.path.startswith(EVENTS) else MAX_BODY_BYTES
    if len(length) > len(str(most)) or int(length) > most:
        return problems.of_status(413).response()
    if int(length) and request.path.startswith(API) and request.content_type != "application/json":
        return problems.of_status(415).response()
    return None


def _as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if request.path.startswith(PAGES):
        return response
    is_problem = response.headers.get("Content-Type") == problems.MEDIA_TYPE
    if response.status_code < 400 or is_problem:  # noqa: PLR2004
        return response
    problem = problems.of_status(response.status_code).response()
    kept = {name: value for name, value in response.items() if name != "Content-Length"}
    for name, value in kept.items():
        problem.headers.setdefault(name, value)
    return problem
