"""The kiosk for a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coop_kiosk.settings")
application = get_wsgi_application()
