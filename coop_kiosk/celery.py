"""The kiosk's Celery app: ``celery -A coop_kiosk worker -Q otpmail -P threads -c 8``."""

import os
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coop_kiosk.settings")
app = Celery("coop_kiosk")
app.config_from_object("django.conf:settings", namespace="CELERY")


@signals.setup_logging.connect
def _leave_it_to_django(**_: Any) -> None:
    """Keep Celery from the root logger: whoever greps the log finds a worker's lines too."""
