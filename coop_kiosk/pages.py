"""What the project answers beside the API: its health, and what a problem's type means."""

from django.db import Error, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse

from mobile_api import problems


def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Answer 200, or 503 without the database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return problems.of_status(503).response()
    return JsonResponse({"status": "ok"})


def explain(request: HttpRequest, kind: str) -> HttpResponse:  # noqa: ARG001
    """Tell what a problem of this type is, and what to do."""
    known = problems.CATALOGUE.get(kind)
    if known is None:
        raise Http404
    text = f"{known.title} ({known.status})\n\n{known.next_step}\n"
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
