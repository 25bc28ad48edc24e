import threading

import pytest

from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def engine(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"


@pytest.fixture(autouse=True)
def tries_end(transactional_db):
    """What was outrun is recorded late: before the database is emptied, and not meanwhile."""
    yield
    wait_until(
        lambda: not any(thread.name.startswith("otpmail-try") for thread in threading.enumerate())
    )
