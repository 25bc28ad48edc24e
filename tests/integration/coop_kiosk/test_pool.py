"""The kiosk on PostgreSQL with psycopg's pool: requests and couriers share its connections."""

import contextlib
import os
from collections.abc import Iterator

import pytest
from django.db import connection

from benchmarks.load import Load
from benchmarks.members import main as make_members
from demo import machine
from tests import mailserver, workers

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="psycopg's pool is PostgreSQL's"),
]

REQUESTS = 40


@pytest.fixture
def server():
    with mailserver.running() as server:
        yield server


@pytest.fixture
def ask(tmp_path, server, capsys):
    """Run the kiosk with a pool, and let members ask all at once. Gives what they were answered."""

    @contextlib.contextmanager
    def ask(pool_size: int) -> Iterator[list[int | None]]:
        make_members(REQUESTS)
        load = Load(port, capsys.readouterr().out.split())
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "coop_kiosk.settings",
            "DATABASE_URL": workers.database_url(),
            "DATABASE_POOL": str(pool_size),
            "WEB_CONCURRENCY": "1",
            "PGAPPNAME": "pooled",
            "EMAIL_HOST": server.host,
            "EMAIL_PORT": str(server.port),
            "OTPMAIL_DRAIN_SECONDS": "1",
            "BIND": f"127.0.0.1:{port}",
        }
        with machine.process(machine.KIOSK, environment, tmp_path / "kiosk.out", port):
            load.run(REQUESTS, rate=200)
            assert 0 < pooled() <= pool_size
            yield [asked.status for asked in load.asked]

    port = mailserver.free_port()
    return ask


def pooled() -> int:
    """Count the connections that the kiosk holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'pooled' AND datname = current_database()"
        )
        count: int = cursor.fetchone()[0]
    return count


def test_couriers_give_connections_back(ask, server):
    """Eight couriers, eight web threads and a sweep get on with three."""
    with ask(pool_size=3) as answers:
        assert answers == [201] * REQUESTS
        server.wait_for(REQUESTS, 30)


def test_pool_with_one_for_all_is_not_starved_by_a_silent_mail_server(ask, server):
    """Eight couriers wait for the mail server, each with its connection, and no request does."""
    server.delay_seconds = 60
    with ask(pool_size=17) as answers:
        assert answers == [201] * REQUESTS
        assert not server.mails
