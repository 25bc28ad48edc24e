import pytest

from otpmail import routes
from tests import mailserver


@pytest.fixture
def server(settings):
    with mailserver.running() as server:
        settings.MAILERS = {
            "default": {
                "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "OPTIONS": {"host": "127.0.0.1", "port": server.port, "timeout": 5},
            }
        }
        yield server
        routes.close()
