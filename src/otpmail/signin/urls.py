"""Where the pages answer: ``path("sign-in/", include("otpmail.signin.urls"))``."""

from django.urls import path

from otpmail.signin import views

app_name = "otpmail_signin"
urlpatterns = [
    path("", views.ask, name="ask"),
    path("<uuid:challenge_id>", views.code, name="code"),
    path("<uuid:challenge_id>/progress", views.progress, name="progress"),
    path("address", views.prove, name="prove"),
    path("address/<uuid:challenge_id>", views.prove_code, name="prove_code"),
    path("address/<uuid:challenge_id>/progress", views.prove_progress, name="prove_progress"),
]
