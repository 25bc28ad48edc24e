"""allauth's pages and Django's own."""

from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),  # its templates frame the password reset
    path("accounts/", include("allauth.urls")),
    path("django/", include("django.contrib.auth.urls")),
    path("", lambda request: HttpResponse(request.user.get_username())),
]
