import pytest

from otpmail import routes
from tests import mailserver


@pytest.fixture
def server(settings):
    with mailserver.running() as server:
        mailserver.route_to(settings, server.port)
        yield server
        routes.close()
