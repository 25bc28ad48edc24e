import sys
import threading
import traceback

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
    """A try that lost the hedge is recorded late: before the database is emptied, not after."""
    yield
    wait_until(lambda: not _tries(), told=_where_they_are)


def _tries():
    return [one for one in threading.enumerate() if one.name.startswith("otpmail-try")]


def _where_they_are():
    """Tell where each thread is: a try that waits, waits for another."""
    frames, names = sys._current_frames(), {one.ident: one.name for one in threading.enumerate()}
    return "".join(
        f"{names.get(ident)}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in frames.items()
    )
