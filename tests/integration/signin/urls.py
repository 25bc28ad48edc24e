"""A project's URLs: the pages, and one for members only."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("sign-in/", include("otpmail.signin.urls")),
    path("home", login_required(lambda request: HttpResponse(request.user.get_username()))),
]
