"""A middleware that tells in each answer how long its request waited for PostgreSQL.

Whatever psycopg asks goes through ``Connection.wait``: commits and health checks too, which
Django's own wrappers of statements do not see. What is measured ends when the thread runs again,
so a wait for the interpreter is in it.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from psycopg import Connection

_spent = threading.local()


def told(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Wrap all that stands below."""

    def middleware(request: HttpRequest) -> HttpResponse:
        _spent.seconds = 0.0
        response = get_response(request)
        response["Server-Timing"] = f"db;dur={_spent.seconds * 1000:.3f}"
        return response

    return middleware


def _timed(wait: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return wait(*args, **options)
        finally:
            _spent.seconds = getattr(_spent, "seconds", 0.0) + time.perf_counter() - began

    return timed


Connection.wait = _timed(Connection.wait)
