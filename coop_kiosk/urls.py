"""Where the kiosk answers."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
