"""A real uvicorn ends: mails in flight arrive, once, and the rest is nobody's."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from demo import machine
from demo.machine import HOST, Popen
from tests import mailserver
from tests.acceptance.site import Site
from tests.waiting import wait_until

COURIERS = 8
MARGIN_SECONDS = 10
"""For a busy machine; a lease would hold the rows for 60."""


@contextlib.contextmanager
def uvicorn(site: Site, drain_seconds: int) -> Iterator[Popen]:
    command = ["-m", "uvicorn", "coop_kiosk.asgi:application", "--host", HOST]
    command += ["--port", str(site.ports.kiosk)]
    environment = site.environment | {"OTPMAIL_DRAIN_SECONDS": str(drain_seconds)}
    output = site.home / "uvicorn.out"
    with machine.process(command, environment, output, site.ports.kiosk) as process:
        yield process
        for phone in site.phones:
            phone.http.close()


@pytest.fixture
def server(site) -> Iterator[mailserver.MailServer]:
    with mailserver.running(port=site.ports.smtp) as server:
        yield server


def ask_and_end(site: Site, server: mailserver.MailServer, mails: int, drain: int, signum: int):
    """Promise so many mails, and end the server when one of them is in flight."""
    with uvicorn(site, drain) as process:
        alice = site.alice()
        for _ in range(mails):
            assert alice.ask().status_code == 201
        wait_until(lambda: server.sessions > 0)
        os.kill(process.pid, signum)
        process.wait(drain + MARGIN_SECONDS)


@pytest.mark.long
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_mails_in_flight_arrive_once_though_uvicorn_ends(site, server, signum):
    server.delay_seconds = 2
    ask_and_end(site, server, mails=3, drain=20, signum=signum)
    assert site.states() == ["accepted"] * 3
    assert {*Counter(mail["Message-ID"] for mail in server.mails).values()} == {1}
    assert len(server.mails) == 3


def test_what_is_not_in_flight_is_nobodys_when_uvicorn_has_ended(site, server):
    """The server is silent for longer than the process may wait."""
    server.delay_seconds = 20
    ask_and_end(site, server, mails=COURIERS + 5, drain=2, signum=signal.SIGTERM)
    assert {*site.states()} == {"queued"}
    held = "SELECT COUNT(*) FROM otpmail_delivery WHERE leased_by <> ''"
    assert site.rows(held)[0][0] <= COURIERS
