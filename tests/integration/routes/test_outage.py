"""An outage is quiet: few rows, few lines, and its end shows soon."""

import logging

import pytest

from otpmail import routes
from otpmail.db import database
from otpmail.delivery import courier, leases
from otpmail.models import Attempt, Delivery, Queue
from tests import mailserver
from tests.rounds import ME, carry, promise, tried

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = 60


@pytest.fixture(autouse=True)
def many_a_minute(settings):
    settings.OTPMAIL_RETRY_SECONDS = (0, 0, 0)


def probe_for(clock, seconds):
    """Let time pass, and have what waits go whenever it may. Returns how often one did."""
    went, until = 0, clock.monotonic() + seconds
    while clock.monotonic() < until:
        clock.move(0.25)
        leases.release(ME)
        Delivery.objects.update(due_at=database.now())
        for delivery_id in leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=10):
            went += routes.wait_seconds(["default"]) == 0
            courier.run([delivery_id], ME)
    return went


@pytest.mark.parametrize("reply", [None, "451 4.3.2 down"])
def test_outage_of_a_minute_is_a_row_a_code_and_a_handful_of_lines(settings, clock, caplog, reply):
    """There were 119 rows and 248 lines."""
    caplog.set_level(logging.INFO, "otpmail")
    with mailserver.running() as server:
        server.data = [reply or mailserver.OK]
        mailserver.route_to(settings, server.port if reply else mailserver.free_port())
        for _ in range(3):
            promise()
        carry()
        probes = probe_for(clock, MINUTE)
        routes.close()
    assert probes >= MINUTE / 1.5
    assert tried() == [("default", "transient")] * 3
    lines = [r for r in caplog.records if r.name.startswith("otpmail")]
    assert len(lines) <= 8, [r.message for r in lines]


def test_probe_that_finds_something_else_has_its_row(settings, clock):
    with mailserver.running() as server:
        server.data = ["451 4.3.2 down"]
        mailserver.route_to(settings, server.port)
        for _ in range(3):
            promise()
        carry()
        server.data = ["451 4.3.2 still down", "452 4.3.1 full", mailserver.OK]
        probe_for(clock, 10)
        routes.close()
    replies = Attempt.objects.order_by("pk").values_list("reply", flat=True)
    assert [*replies][3:] == ["4.3.1 full", *["2.0.0 Ok: queued as 4F2A"] * 3]
    assert set(Delivery.objects.values_list("state", flat=True)) == {"accepted"}


def test_outage_whose_replies_alternate_is_two_rows_a_code(settings, clock):
    """There were 49 rows, and 51 lines."""
    with mailserver.running() as server:
        server.data = ["451 4.3.2 down", "452 4.3.1 full"] * MINUTE
        mailserver.route_to(settings, server.port)
        for _ in range(3):
            promise()
        carry()
        assert probe_for(clock, MINUTE) >= MINUTE / 1.5
        routes.close()
    assert Attempt.objects.count() <= 2 * 3
