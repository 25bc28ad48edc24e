"""Where the kiosk answers."""

from django.conf import settings
from django.urls import include, path

from coop_kiosk.pages import explain, healthz
from coop_kiosk.webhooks import open_urls
from mobile_api.api import api

urlpatterns = [
    path("api/v1/", api.urls),
    path("codes/", include("otpmail.urls")),
    path("problems/<path:kind>", explain),
    path("healthz", healthz),
    path("anymail/", include(open_urls(settings.ANYMAIL))),
]
