"""What an engine on a broker promises beyond the contract: who sends, and what a broker may do."""

import base64
import contextlib
import json
import signal
import socket
import time
from uuid import UUID

import pytest
import redis

from demo import machine
from otpmail import engines
from otpmail.engines import publisher
from otpmail.engines.publisher import PUBLISH_SECONDS
from otpmail.models import Attempt, Delivery
from tests import brokers, mailserver
from tests.brokers import HOST, celery_settings, celery_worker, redis_server, rq_settings
from tests.mailserver import free_port
from tests.proxy import proxy
from tests.rounds import promise, states
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

KINDS = ["celery-redis", "celery-rabbitmq", "tasks-db", "tasks-rq"]


@pytest.fixture
def theirs():
    """Where workers send."""
    with mailserver.running() as theirs:
        yield theirs


@pytest.fixture
def redis_port():
    return free_port()


def lead(settings, found) -> engines.Engine:
    for name, value in found.items():
        setattr(settings, name, value)
    return engines.current()


def slowest_of(count: int) -> float:
    """Promise so many. Seconds that the slowest one took: who waits for a broker takes longer."""
    took = []
    for _ in range(count):
        started = time.perf_counter()
        promise()
        took.append(time.perf_counter() - started)
    return max(took)


@pytest.mark.parametrize("kind", KINDS)
def test_worker_sends_and_tries_again_by_the_outbox_clock_and_this_process_does_not(
    kind, settings, server, theirs, tmp_path
):
    theirs.data = ["451 4.3.0 later", "250 ok"]
    with brokers.running(kind, theirs.port, tmp_path / kind) as found:
        lead(settings, found | {"OTPMAIL_SWEEP_SECONDS": 5})
        for _ in range(5):
            promise()
        theirs.wait_for(5)
        wait_until(lambda: states() == {"accepted"})
        engines.current().stop(5)
    assert server.mails == []
    refused = Attempt.objects.get(outcome="transient")
    taken = refused.delivery.attempts.get(outcome="accepted")
    assert Attempt.objects.count() == 6
    assert (taken.started_at - refused.started_at).total_seconds() >= 1.8


@pytest.mark.parametrize(
    ("kind", "pool"),
    [("celery-redis", "prefork"), ("celery-rabbitmq", "threads")],
)
def test_mail_of_a_killed_worker_is_taken_up_by_the_next_one_before_its_lease_ends(
    kind, pool, settings, server, theirs, tmp_path
):
    theirs.may_take = lambda: False
    broker = brokers.redis_url if kind == "celery-redis" else brokers.rabbitmq_url
    with broker() as url:
        lead(settings, celery_settings(url) | {"OTPMAIL_SWEEP_SECONDS": 5})
        with celery_worker(url, theirs.port, tmp_path / "first", pool=pool) as first:
            promise()
            wait_until(lambda: theirs.in_hand)
            machine.kill(first)
        wait_until(lambda: not theirs.in_hand)  # the server knows who went away
        engines.current().stop(1)  # this process is none that could help
        assert Delivery.objects.get().leased_by  # by a dead one
        theirs.may_take = lambda: True
        with celery_worker(url, theirs.port, tmp_path / "second", pool=pool):
            theirs.wait_for(1, seconds=30)
            wait_until(lambda: states() == {"accepted"})
    assert len(theirs.mails) == 1


def test_mail_of_a_killed_task_worker_is_sent_by_who_promised_it(
    settings, server, theirs, tmp_path
):
    """By a sweep: such a worker runs each of its tasks once, and looks at none again."""
    theirs.may_take = lambda: False
    with brokers.db_worker(theirs.port, tmp_path / "worker") as worker:
        lead(settings, {"OTPMAIL_ENGINE": brokers.TASKS, "OTPMAIL_SWEEP_SECONDS": 1})
        promise()
        wait_until(lambda: theirs.in_hand)
        machine.kill(worker)
        server.wait_for(1, seconds=30)  # its lease is longer
        wait_until(lambda: states() == {"accepted"})


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_worker_that_ends_gives_back_what_waits_for_its_retry(
    pool, settings, server, theirs, tmp_path
):
    theirs.data = ["451 4.3.0 later"]
    with brokers.redis_url() as url:
        lead(settings, celery_settings(url))
        with celery_worker(url, theirs.port, tmp_path / "worker", pool=pool) as process:
            promise()
            wait_until(lambda: Delivery.objects.get().rounds == 1)
            engines.current().stop(1)  # this process would take what is given back
            process.terminate()
            assert process.wait(timeout=60) == 0
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by) == ("queued", "")


def test_worker_of_other_queues_sends_nothing(settings, server, theirs, tmp_path):
    """It may have no way to a mail server."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    promise()
    with (
        brokers.redis_url() as url,
        celery_worker(url, theirs.port, tmp_path / "other", queues="celery"),
    ):
        time.sleep(1)  # two of its sweeps, had it any
    assert states() == {"queued"}
    assert theirs.sessions == 0


def test_message_is_an_id_in_json_and_nothing_else(settings, server, redis_port):
    with redis_server(redis_port), redis.Redis(port=redis_port) as queue:
        lead(settings, celery_settings(f"redis://{HOST}:{redis_port}/0"))
        promise()
        wait_until(lambda: queue.llen("otpmail"))
        message = json.loads(queue.lindex("otpmail", 0))
        engines.current().stop(1)
    assert message["content-type"] == "application/json"
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert ([UUID(each) for each in args], kwargs) == ([Delivery.objects.get().pk], {})
    assert message["headers"]["argsrepr"] == str(args)
    assert "alice" not in json.dumps(message)


def test_stop_publishes_what_waits(settings, server, redis_port):
    with redis_server(redis_port), redis.Redis(port=redis_port) as queue:
        engine = lead(settings, celery_settings(f"redis://{HOST}:{redis_port}/0"))
        for _ in range(20):
            promise()
        engine.stop(seconds=5)
        assert queue.llen("otpmail") == 20
    assert not Delivery.objects.exclude(leased_by="").exists()


def test_without_a_worker_the_mail_leaves_after_two_sweeps(settings, server, redis_port):
    with redis_server(redis_port):
        found = celery_settings(f"redis://{HOST}:{redis_port}/0")
        lead(settings, found | {"OTPMAIL_SWEEP_SECONDS": 0.2})
        promise()
        server.wait_for(1)
        engines.current().stop(1)


@contextlib.contextmanager
def silence():
    """Accept connections, and say nothing."""
    with socket.create_server((HOST, 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}/0", "amqp://guest@127.0.0.1:{}//"])
@pytest.mark.parametrize("broker", ["refuses", "hangs"])
def test_with_the_broker_away_requests_are_fast_and_this_process_sends(
    url, broker, settings, server, monkeypatch
):
    with silence() if broker == "hangs" else contextlib.nullcontext(free_port()) as port:
        found = celery_settings(url.format(port))
        engine = lead(settings, found | {"OTPMAIL_SWEEP_SECONDS": 100})
        assert slowest_of(20) < PUBLISH_SECONDS
        server.wait_for(20)
        wait_until(lambda: states() == {"accepted"})
        assert " down " in repr(engine)
        monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 100)
        promise()
        server.wait_for(21)  # nobody waits for that broker any more
        engine.stop(5)


def test_with_redis_away_tasks_are_done_here(settings, server):
    """A client without time-outs of its own hangs for ever: nobody waits for that thread."""
    with silence() as port:
        engine = lead(settings, rq_settings(f"redis://{HOST}:{port}/0"))
        assert slowest_of(20) < PUBLISH_SECONDS
        server.wait_for(20)
        wait_until(lambda: states() == {"accepted"})
        engine.stop(5)


def test_what_finds_no_room_in_memory_is_swept_up(settings, server):
    settings.OTPMAIL_QUEUE_SIZE = 2
    with silence() as port:
        found = celery_settings(f"redis://{HOST}:{port}/0")
        engine = lead(settings, found | {"OTPMAIL_SWEEP_SECONDS": 0.2})
        for _ in range(20):
            promise()
        assert "waiting=2 " in repr(engine)
        server.wait_for(20)
        wait_until(lambda: states() == {"accepted"})
        engine.stop(5)
    assert len(server.mails) == 20


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
def test_broker_goes_in_the_middle_and_comes_back(
    trouble, settings, server, theirs, redis_port, tmp_path
):
    """Nothing is lost, nothing doubled, and the worker has its work again when it has noticed."""
    url = f"redis://{HOST}:{redis_port}/0"
    engine = lead(settings, celery_settings(url) | {"OTPMAIL_SWEEP_SECONDS": 1})
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(redis_server(redis_port))
        worker = celery_worker(url, theirs.port, tmp_path / "worker", sweep_seconds=25)
        stack.enter_context(worker)
        promise()
        theirs.wait_for(1)
        with redis.Redis(port=redis_port) as queue:  # kombu 5.7 ends if it dies with a message out
            wait_until(lambda: not queue.hlen("unacked"))

        broker.send_signal(signal.SIGKILL if trouble == "killed" else signal.SIGSTOP)
        assert slowest_of(10) < PUBLISH_SECONDS
        wait_until(lambda: states() == {"accepted"})
        assert " down " in repr(engine)

        if trouble == "killed":
            broker.wait()
            stack.enter_context(redis_server(redis_port))
        else:
            broker.send_signal(signal.SIGCONT)
        wait_until(lambda: " up " in repr(engine))
        wait_until(lambda: promise() and len(theirs.mails) > 1, every=0.5)
        wait_until(lambda: states() == {"accepted"})
        engine.stop(5)
    sent = [mail["Message-ID"] for mail in (*server.mails, *theirs.mails)]
    assert len(sent) == len(set(sent)) == Delivery.objects.count()


def test_rabbitmq_that_falls_silent_or_is_cut_off_holds_nobody(settings, server, theirs, tmp_path):
    with brokers.rabbitmq_url() as url, proxy(to=5672) as between:
        through = url.replace(":5672", f":{between.port}")
        engine = lead(settings, celery_settings(through) | {"OTPMAIL_SWEEP_SECONDS": 1})
        with celery_worker(url, theirs.port, tmp_path / "worker", sweep_seconds=25):
            promise()
            theirs.wait_for(1)
            wait_until(engine._publisher._last.done.is_set)  # RabbitMQ may confirm after that
            between.cut()
            between.drops = 1
            promise()
            theirs.wait_for(2)  # over a new connection, the second that was begun

            between.hang()
            assert slowest_of(10) < PUBLISH_SECONDS
            wait_until(lambda: states() == {"accepted"})
            assert len(server.mails) == 10
            between.flow()
            wait_until(lambda: " up " in repr(engine))
            promise()
            theirs.wait_for(3)
            wait_until(lambda: states() == {"accepted"})
            engine.stop(5)
