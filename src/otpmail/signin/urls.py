"""Where the pages answer: ``path("sign-in/", include("otpmail.signin.urls"))``."""

from django.urls import path

from otpmail.signin.views import ask, code, progress

app_name = "otpmail_signin"
urlpatterns = [
    path("", ask, name="ask"),
    path("<uuid:challenge_id>", code, name="code"),
    path("<uuid:challenge_id>/progress", progress, name="progress"),
]
