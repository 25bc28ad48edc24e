"""The kiosk for a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coop_kiosk.settings")
application = get_wsgi_application()

from otpmail import engines  # noqa: E402 - Django's apps are ready only now

engines.current().start()  # what a dead process left is taken up now, not at the first request
