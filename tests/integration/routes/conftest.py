import pytest

from otpmail.routes import circuits
from tests import tries


@pytest.fixture(autouse=True)
def engine(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_HEDGE_AFTER = 60  # where a test is of hedges, it says so


@pytest.fixture
def no_probe(monkeypatch):
    """Let no circuit's pause end by itself, however slow the machine is."""
    monkeypatch.setattr(circuits, "PAUSE_SECONDS", 60)


@pytest.fixture(autouse=True)
def tries_end(transactional_db):
    """A try that lost the hedge is recorded late: before the database is emptied, not after."""
    yield
    tries.wait_for_their_end()
