"""On real servers, a mail leaves when the response in which it was promised has been written."""

import asyncio
import contextlib
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from socketserver import ThreadingMixIn
from uuid import UUID
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest
import uvicorn
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from otpmail import challenges, engines
from otpmail.engines.broker import BrokerEngine
from otpmail.models import Delivery
from tests.mailserver import free_port
from tests.rounds import promise
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

HOST = "127.0.0.1"
MINE = {"purpose": "sign-in", "owner": "bob", "recipient": "bob@example.org"}

go_on = threading.Event()


def ask():
    challenges.issue(**MINE)
    connections.close_all()  # this thread ends with its server


def plain(request):
    ask()
    return HttpResponse("promised")


def held(request):
    """Promise, and write the response's end when it is told to."""
    ask()

    def pieces():
        yield b"promised\n"
        go_on.wait(60)
        yield b"the end\n"

    return StreamingHttpResponse(pieces())


async def pieces_async():
    yield b"promised\n"
    await asyncio.to_thread(go_on.wait, 60)
    yield b"the end\n"


def held_async(request):
    ask()
    return StreamingHttpResponse(pieces_async())


async def async_view(request):
    await challenges.aissue(**MINE)
    await sync_to_async(connections.close_all)()
    return StreamingHttpResponse(pieces_async())


def raising(request):
    ask()
    raise ValueError("a mistake of the view's")


def breaking(request):
    ask()

    def pieces():
        yield b"promised\n"
        raise ValueError("a mistake of the stream's")

    return StreamingHttpResponse(pieces())


async def breaking_async(request):
    await sync_to_async(ask)()

    async def pieces():
        yield b"promised\n"
        raise ValueError("a mistake of the stream's")

    return StreamingHttpResponse(pieces())


VIEWS = (plain, held, held_async, async_view, raising, breaking, breaking_async)
urlpatterns = [path(view.__name__, view) for view in VIEWS]


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        """Write nothing into the tests' output."""


@contextlib.contextmanager
def wsgiref() -> Iterator[str]:
    application = get_wsgi_application()
    with make_server(HOST, 0, application, ThreadingServer, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def uvicorns() -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(get_asgi_application(), HOST, port, lifespan="off", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield f"http://{HOST}:{port}"
    server.should_exit = True
    thread.join()


SERVERS = {"WSGI": wsgiref, "ASGI": uvicorns}
HELD = [("WSGI", "held"), ("ASGI", "held_async"), ("ASGI", "async_view")]
BREAKING = [("WSGI", "breaking"), ("ASGI", "breaking_async")]


@pytest.fixture
def engine(settings, server):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.OTPMAIL_SWEEP_SECONDS = 1000
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    engine = engines.current()
    engine.start()
    wait_until(lambda: engine._maintenance.due_in_seconds > 0)  # its first sweep is over
    return engine


@pytest.fixture(params=SERVERS)
def kind(request):
    return request.param


@pytest.fixture
def site(kind, engine):
    go_on.clear()
    with SERVERS[kind]() as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client
        go_on.set()


def sweep(engine):
    engine._maintenance._due_at = 0.0
    engine.wake()


def test_mail_leaves_without_a_sweep(site, server):
    assert site.get("/plain").text == "promised"
    server.wait_for(1)


@pytest.mark.parametrize(("kind", "view"), HELD)
def test_mail_leaves_after_the_response(site, server, view):
    with site.stream("GET", f"/{view}") as response:
        lines = response.iter_lines()
        assert next(lines) == "promised"
        promise(recipient="alice@example.org")  # in this thread, which handles no request
        server.wait_for(1)
        assert [mail["To"] for mail in server.mails] == ["alice@example.org"]
        go_on.set()
        assert next(lines) == "the end"
    server.wait_for(2)


@pytest.mark.parametrize(("kind", "view"), HELD)
def test_mail_of_a_long_response_leaves_with_the_sweep(site, engine, server, view):
    with site.stream("GET", f"/{view}") as response:
        assert next(response.iter_lines()) == "promised"
        sweep(engine)
        server.wait_for(1)
        assert not go_on.is_set()


def test_mail_of_a_request_that_fails_leaves(site, server):
    assert site.get("/raising").status_code == 500
    server.wait_for(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("kind", "view"), BREAKING)
def test_mail_of_a_response_that_breaks_leaves(engine, server, kind, view):
    """Under ASGI Django tells no end of it, and the sweep finds what waits."""
    with SERVERS[kind]() as url:
        with contextlib.suppress(httpx.RemoteProtocolError):
            httpx.get(f"{url}/{view}", timeout=60)
        sweep(engine)
        server.wait_for(1)
    gc.collect()  # Django 5.2 leaves a file of that request open


class Recording(BrokerEngine):
    """Publishes into a list."""

    published: list[UUID] = []

    def _publish(self, delivery_id, queue):
        self.published.append(delivery_id)


def test_broker_is_told_after_the_response(settings):
    settings.OTPMAIL_SWEEP_SECONDS = 1000
    settings.OTPMAIL_ENGINE = f"{__name__}.Recording"
    Recording.published.clear()
    request_started.send(sender=None)
    promise(recipient="bob@example.org")
    with ThreadPoolExecutor(1) as elsewhere:  # of no request
        elsewhere.submit(promise).result()
        elsewhere.submit(connections.close_all).result()
    wait_until(lambda: Recording.published)
    mine, other = Delivery.objects.order_by("pk").values_list("pk", flat=True)
    assert Recording.published == [other]
    request_finished.send(sender=None)
    wait_until(lambda: Recording.published == [other, mine])
