"""Where the kiosk answers."""

from django.urls import path

from coop_kiosk.health import healthz
from mobile_api.api import api

urlpatterns = [
    path("api/v1/", api.urls),
    path("healthz", healthz),
]
