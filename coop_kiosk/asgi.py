"""The kiosk for an ASGI server."""

import os

from django.core.asgi import get_asgi_application

from otpmail.asgi import with_lifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coop_kiosk.settings")
application = with_lifespan(get_asgi_application())

from otpmail import engines  # noqa: E402 - Django's apps are ready only now

engines.current().start()  # what a dead process left is taken up now, not at the first request
