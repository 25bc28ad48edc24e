"""Where the kiosk answers."""

from django.urls import include, path

from coop_kiosk.pages import explain, healthz
from mobile_api.api import api

urlpatterns = [
    path("api/v1/", api.urls),
    path("codes/", include("otpmail.urls")),
    path("problems/<path:kind>", explain),
    path("healthz", healthz),
]
