import pytest


@pytest.fixture(autouse=True)
def engine(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
