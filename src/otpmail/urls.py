"""Where the pages answer: ``path("codes/", include("otpmail.urls"))``."""

from django.urls import path

from otpmail.operations.metrics_view import metrics
from otpmail.views import cancel

app_name = "otpmail"
urlpatterns = [
    path("cancel", cancel, name="cancel"),
    path("metrics", metrics, name="metrics"),
]
