import threading

import pytest

from otpmail.routes import circuits
from tests.waiting import wait_until


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
    """What was outrun is recorded late: before the database is emptied, and not meanwhile."""
    yield
    wait_until(
        lambda: not any(thread.name.startswith("otpmail-try") for thread in threading.enumerate())
    )
