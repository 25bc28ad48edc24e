"""Where the pages answer: ``path("codes/", include("otpmail.urls"))``."""

from django.urls import path

from otpmail.pages import cancel
from otpmail.scraping import metrics

app_name = "otpmail"
urlpatterns = [
    path("cancel", cancel, name="cancel"),
    path("metrics", metrics, name="metrics"),
]
