"""What every engine promises."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction

from otpmail import challenges, database, engines, owners, routes
from otpmail.models import Delivery, Lane
from tests import workers
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ENGINES = [
    "otpmail.engines.immediate.ImmediateEngine",
    "otpmail.engines.threads.ThreadsEngine",
    "otpmail.engines.worker.WorkerEngine",
]


@pytest.fixture(params=ENGINES, ids=lambda path: path.split(".")[2])
def engine(request, settings, server, tmp_path):
    settings.OTPMAIL_ENGINE = request.param
    settings.OTPMAIL_SWEEP_SECONDS = 0.1
    if "worker" not in request.param:
        yield engines.current()
        return
    with workers.worker(server.port, tmp_path / "alive", OTPMAIL_SWEEP_SECONDS="0.1"):
        yield engines.current()


def promise():
    return challenges.issue("sign-in", subject="alice", recipient="alice@example.org")


def states():
    return set(Delivery.objects.values_list("state", flat=True))


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
    engine.wake([delivery_id, delivery_id, uuid4()], Lane.CODE)
    server.wait_for(1)
    wait_until(lambda: states() == {"accepted"})
    engine.wake([delivery_id], Lane.CODE)
    time.sleep(0.1)
    assert len(server.mails) == 1


def test_many_at_once_are_all_accepted(engine, server):
    for _ in range(50):
        promise()
    server.wait_for(50)
    wait_until(lambda: states() == {"accepted"})
    assert len({mail["Message-ID"] for mail in server.mails}) == 50


def test_stopped_engine_holds_nothing(engine, server, settings):
    if "worker" in settings.OTPMAIL_ENGINE:
        pytest.skip("this engine holds nothing ever; test_worker.py stops the worker itself")
    server.data = ["451 4.3.0 later"]
    promise()
    wait_until(lambda: Delivery.objects.get().attempted >= 1)
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


def test_mail_of_a_dead_process_is_taken_up(engine, server, settings):
    if "immediate" in settings.OTPMAIL_ENGINE:
        pytest.skip("the immediate engine leaves what others lost to an engine that sweeps")
    with transaction.atomic():  # born leased to a process that is gone
        promise()
        host, pid, started, fence = owners.new().split("/")
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
