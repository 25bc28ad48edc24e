"""The kiosk, and the admin."""

from coop_kiosk.urls import urlpatterns as kiosk
from tests.admin_urls import urlpatterns as admin

urlpatterns = [*admin, *kiosk]
