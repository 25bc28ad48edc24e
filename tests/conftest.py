import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import hypothesis
import pytest
from django.contrib.contenttypes.management import create_contenttypes
from django.db.models import F
from django.db.models.signals import post_migrate

from otpmail import routes
from otpmail.models import Challenge, Delivery
from tests import backends, listening, mailserver
from tests.clock import Clock, modules_that_read_it
from tests.mailserver import MailServer

LONG_SECONDS = 900

hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.hookimpl(trylast=True)  # when the order is random already
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what may take long: at the end, one process would work and the others wait."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """Make no permissions anew after each test that commits: it took longer than most tests."""
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.disconnect(create_contenttypes)


@pytest.fixture(scope="session")
def _listening() -> None:
    listening.listen()


@pytest.fixture(autouse=True)
def _signals_are_sent_with_what_the_reference_tells(_listening: None) -> Iterator[None]:
    listening.lacking.clear()
    yield
    assert listening.lacking == []


@pytest.fixture(autouse=True)
def _no_domain_holds_a_courier_of_another_test() -> None:
    """A courier that hangs in a test of that holds one for longer than the test."""
    routes.domains.forget()


@pytest.fixture
def pass_time() -> Callable[[UUID, float], None]:
    """Move a challenge and its deliveries into the past, by the database's own clock."""

    def move(challenge_id: UUID, seconds: float) -> None:
        span = timedelta(seconds=seconds)
        Challenge.objects.filter(pk=challenge_id).update(
            **{
                name: F(name) - span
                for name in ("created_at", "expires_at", "closes_at", "resend_at")
            }
        )
        Delivery.objects.filter(challenge=challenge_id).update(
            **{name: F(name) - span for name in ("created_at", "due_at", "deadline")}
        )

    return move


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Stop the monotonic clock of all otpmail's modules: it passes only by ``clock.move``."""
    clock = Clock()
    for module in modules_that_read_it():
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def server(settings) -> Iterator[MailServer]:
    """Run a mail server, where this process sends."""
    with mailserver.running() as server:
        mailserver.route_to(settings, server.port)
        yield server
        routes.close()


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Let the backends of `tests.backends` that hang do so until this is set, or the test ends."""
    backends.Hanging.let_go.clear()
    yield backends.Hanging.let_go
    backends.Hanging.let_go.set()


@pytest.fixture
def orders(settings) -> None:
    """Let codes be bound to orders."""
    settings.OTPMAIL_PURPOSES = {"order": {"FACTS": "tests.orders.facts"}}
