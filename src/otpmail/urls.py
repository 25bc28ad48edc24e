"""Where the pages answer: ``path("codes/", include("otpmail.urls"))``."""

from django.urls import path

from otpmail.pages import cancel

app_name = "otpmail"
urlpatterns = [path("cancel/<str:token>", cancel, name="cancel")]
