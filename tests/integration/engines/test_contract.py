"""What every engine promises."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction

from otpmail import engines, routes
from otpmail.db import database
from otpmail.delivery import holders
from otpmail.models import Delivery, Queue
from tests import mailserver
from tests.brokers import running
from tests.rounds import promise, states
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

IN_PROCESS = ("immediate", "threads")
KINDS = [*IN_PROCESS, "worker", "celery-redis", "celery-rabbitmq", "tasks-db", "tasks-rq"]
WITH_A_BROKER = [pytest.mark.long]
GROUPED = [
    pytest.param(
        kind, marks=[pytest.mark.xdist_group(kind), *(WITH_A_BROKER if "-" in kind else [])]
    )
    for kind in KINDS
]


@pytest.fixture(scope="module")
def one_server():
    """A worker outlives a test, and its mail server must."""
    with mailserver.running() as server:
        yield server


@pytest.fixture
def server(settings, one_server):
    one_server.begin_anew()
    mailserver.route_to(settings, one_server.port)
    yield one_server
    routes.close()


@pytest.fixture(scope="module", params=GROUPED)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def leading_there(kind, django_db_setup, one_server, tmp_path_factory):
    """Run what this kind of engine hangs on. Gives the settings that lead there."""
    home = tmp_path_factory.mktemp("engines") / kind
    with running(kind, one_server.port, home) as settings:
        yield settings


@pytest.fixture
def engine(settings, server, leading_there):
    for name, value in leading_there.items():
        setattr(settings, name, value)
    yield engines.current()
    wait_until(nobody_holds_a_row)  # a worker outlives the test, and the rows do not


def nobody_holds_a_row():
    return not Delivery.objects.exclude(leased_by="").exists()


def test_committed_mail_is_accepted(engine, server):
    promise()
    server.wait_for(1)
    wait_until(lambda: states() == {"accepted"})


def test_rolled_back_mail_is_not_sent(engine, server):
    with pytest.raises(RuntimeError), transaction.atomic():
        promise()
        raise RuntimeError
    promise()
    server.wait_for(1)
    wait_until(lambda: states() == {"accepted"})
    assert len(server.mails) == 1


def test_doubled_and_unknown_hints_are_harmless(engine, server):
    promise()
    delivery_id = Delivery.objects.get().pk
    engine.notify([delivery_id, delivery_id, uuid4()], Queue.CODE)
    server.wait_for(1)
    wait_until(lambda: states() == {"accepted"})
    engine.notify([delivery_id], Queue.CODE)
    time.sleep(0.1)
    assert len(server.mails) == 1


def test_many_at_once_are_all_accepted(engine, server):
    for _ in range(50):
        promise()
    server.wait_for(50)
    wait_until(lambda: states() == {"accepted"})
    assert len({mail["Message-ID"] for mail in server.mails}) == 50


def test_stopped_engine_holds_nothing(kind, engine, server):
    if kind not in IN_PROCESS:
        pytest.skip("this engine holds nothing ever: its worker does")
    server.data = ["451 4.3.0 later"]
    promise()
    wait_until(lambda: Delivery.objects.get().rounds >= 1)
    engine.stop(seconds=5)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by) == ("queued", "")


def test_start_twice_is_start_once(engine, server):
    engine.start()
    engine.start()
    promise()
    server.wait_for(1)


def test_forked_child_has_an_engine_of_its_own(engine, server):
    """Its parent's threads did not come along."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(write, b"new" if engines.current() is not engine else b"old")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 3) == b"new"
    os.close(read), os.close(write)
    assert engines.current() is engine


def test_mail_of_a_dead_process_is_taken_up(kind, engine, server):
    if kind == "immediate":
        pytest.skip("the immediate engine leaves what others lost to an engine that sweeps")
    with transaction.atomic():  # born leased to a process that is gone
        promise()
        host, pid, started, fence = holders.new().split("/")
        dead = f"{host}/{pid}/{int(started) - 1}/{fence}"
        Delivery.objects.update(leased_by=dead, leased_until=database.now() + timedelta(minutes=1))
    server.wait_for(1)
    wait_until(lambda: states() == {"accepted"})


def test_two_threads_do_not_take_each_others_rows(engine, server):
    server.delay_seconds = 0.2

    def act(number):
        time.sleep(number * 0.1)
        promise()
        routes.close()
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(act, range(2)))
    wait_until(lambda: states() == {"accepted"})
    assert len(server.mails) == 2
