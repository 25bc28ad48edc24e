"""Whether this process can do its work: it answers, and its database does."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from mobile_api import problems


def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Answer 200, or 503 without the database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return problems.of_status(503).response()
    return JsonResponse({"status": "ok"})
