"""The kiosk's Celery app: ``celery -A coop_kiosk worker -Q otpmail -P threads -c 8``."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coop_kiosk.settings")
app = Celery("coop_kiosk")
app.config_from_object("django.conf:settings", namespace="CELERY")
