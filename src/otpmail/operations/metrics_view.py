"""The metrics are told to whoever brings the token, and where there is none, to nobody.

In: a scraper's request. Out: the metrics as text; 404 while no token is set, 401 for another.
Knows nothing of: what the numbers mean.
"""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from otpmail.conf import settings

LEAST_TOKEN = 16
"""Characters; a shorter one could be found by trying, and is taken for none."""


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Tell the metrics."""
    if len(settings.METRICS_TOKEN) < LEAST_TOKEN:
        raise Http404
    if not constant_time_compare(_brought(request), settings.METRICS_TOKEN):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    from otpmail.operations.metrics import OutboxCollector  # needs an optional package

    registry = CollectorRegistry()
    registry.register(OutboxCollector())
    headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST}
    return HttpResponse(generate_latest(registry), headers=headers)


def _brought(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""
