"""The lifespan protocol, for applications that speak it and for those that do not."""

import asyncio

import pytest
from django.core.asgi import get_asgi_application

from otpmail import engines
from otpmail.asgi import with_lifespan
from tests.engines import Deaf

UP, DOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


class Stopping(Deaf):
    """Tells when it was stopped."""

    def stop(self, seconds):
        TOLD.append("engine stopped")


TOLD: list[str] = []


@pytest.fixture
def engine(settings):
    settings.OTPMAIL_ENGINE = f"{__name__}.Stopping"
    TOLD.clear()
    engines.current()


def live(application, scope="lifespan"):
    """Play a server that says that it starts and ends. Gives what it was told, in order."""
    messages = iter([UP, DOWN])

    async def receive():
        return next(messages)

    async def send(message):
        TOLD.append(message["type"].removeprefix("lifespan."))

    asyncio.run(with_lifespan(application)({"type": scope}, receive, send))
    return TOLD


def speaks(*, until=2, fails_at=None, raises_at=None):
    """Make an application that answers the first so many of the two events."""

    async def application(scope, receive, send):
        for event in ["startup", "shutdown"][:until]:
            if event == raises_at:
                raise ValueError(event)
            assert (await receive())["type"] == f"lifespan.{event}"
            TOLD.append(f"app {event}")
            end = "failed" if event == fails_at else "complete"
            await send({"type": f"lifespan.{event}.{end}"})
            if end == "failed":
                return

    return application


ALONE = ["startup.complete", "engine stopped", "shutdown.complete"]


async def hears_and_raises(scope, receive, send):
    await receive()
    raise RuntimeError


@pytest.mark.parametrize(
    "application",
    [get_asgi_application(), speaks(until=0), speaks(raises_at="startup"), hears_and_raises],
    ids=["Django's", "returns", "raises", "hears and raises"],
)
def test_for_an_application_that_does_not_speak_it_we_do(engine, application):
    assert live(application) == ALONE


def test_an_application_that_speaks_it_ends_before_the_engine(engine):
    assert live(speaks()) == [
        "app startup",
        "startup.complete",
        "app shutdown",
        "engine stopped",
        "shutdown.complete",
    ]


def test_an_application_that_goes_after_its_start_is_stood_in_for(engine):
    assert live(speaks(until=1)) == ["app startup", *ALONE]


def test_an_application_that_breaks_later_still_ends_its_engine_and_is_heard(engine):
    told = TOLD
    with pytest.raises(ValueError, match="shutdown"):
        live(speaks(raises_at="shutdown"))
    assert told == ["app startup", *ALONE]


def test_a_start_that_failed_is_told_and_nothing_else(engine):
    assert live(speaks(fails_at="startup")) == ["app startup", "startup.failed"]


def test_an_end_that_failed_is_told_when_the_engine_has_stopped(engine):
    assert live(speaks(fails_at="shutdown"))[-2:] == ["engine stopped", "shutdown.failed"]


def test_no_engine_is_made_only_to_be_stopped(settings):
    settings.OTPMAIL_ENGINE = f"{__name__}.Stopping"
    TOLD.clear()
    assert live(get_asgi_application()) == ["startup.complete", "shutdown.complete"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_everything_else_is_passed_through(engine, kind):
    seen = []

    async def application(scope, receive, send):
        seen.append((scope["type"], await receive()))
        await send({"type": "x"})

    assert live(application, scope=kind) == ["x"]
    assert seen == [(kind, UP)]
