"""No promise is lost wherever a process dies: one crash after another, at every step that it takes.

The law: what was committed is accepted by the mail server, or its row says why not; what was not
committed is never mailed; a mail is doubled only if the process died after it had begun to write
it and before the outcome was committed.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest
from django.test import override_settings

from otpmail import challenges, engines, signals
from otpmail.db import database
from otpmail.delivery import holders
from otpmail.models import Challenge, Delivery
from otpmail.routes import hedging
from tests import mailserver, rounds
from tests.crashpoints import every_crash, in_child
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

LATER, NO = "451 4.3.0 later", "550 5.1.1 no such mailbox"
SETTLED = (signals.delivery_accepted, signals.delivery_failed, signals.delivery_dropped)
THREADS = "otpmail.engines.threads.ThreadsEngine"


@dataclass
class Walk:
    """What became of the mail, over all crashes of one walk."""

    steps: set[str] = field(default_factory=set)
    unpromised: int = 0
    once: int = 0
    doubled: int = 0
    given_up: int = 0


@pytest.fixture
def walk(settings, tmp_path):
    """Crash at each step of a process; each time a fresh one looks after what it left."""
    settings.OTPMAIL_SWEEP_SECONDS = 60  # one sweep, at the start
    settings.OTPMAIL_RETRY_SECONDS = (0.02, 0.02)
    settings.OTPMAIL_COURIERS = 1

    def walk(
        act: Callable[[], object],
        *,
        given: Callable[[], object] = lambda: None,
        replies: tuple[str, ...] = (mailserver.OK,),
    ) -> Walk:
        walked = Walk()

        def again() -> None:
            Challenge.objects.all().delete()
            server.mails.clear()
            server.data[:] = replies
            given()

        with mailserver.running() as server:
            place = {"host": server.host, "port": server.port}
            mailserver.route_through(settings, mailserver.OUR_BACKEND, **place, min_warm=0)
            again()
            act()  # no crash yet: what is imported and compiled now need not be in each process
            again()
            for points in every_crash(act, tmp_path / "points"):
                decide(walked, points, server)
                again()
        return walked

    return walk


def decide(walked: Walk, points: list[str], server: mailserver.MailServer) -> None:
    """Let a fresh process look after what was left, and hold the end against the law."""
    where, states_at_crash = points[-1], dict(Delivery.objects.values_list("pk", "state"))
    in_child(look_after)
    deliveries = Delivery.objects.all()
    mailed = [mail["Message-ID"] for mail in server.mails]
    walked.steps |= {point.split()[2] for point in points}
    assert set(mailed) <= {delivery.message_id for delivery in deliveries}, f"unpromised {where}"
    if not deliveries:
        assert "MainThread after COMMIT" not in points, f"a promise was lost {where}"
        walked.unpromised += 1
    for delivery in deliveries:
        times = mailed.count(delivery.message_id)
        assert times if delivery.state == "accepted" else delivery.reason, f"lost {where}"
        was_queued = states_at_crash.get(delivery.pk) == "queued"
        in_doubt = was_queued and any("send" in point for point in points)
        assert times <= (2 if in_doubt else 1), f"doubled without a doubt {where}"
        walked.once += times == 1
        walked.doubled += times == 2
        walked.given_up += not times


def promise() -> None:
    rounds.promise()


def leave(count: int = 1) -> None:
    """Leave promises behind, leased to a process that is gone."""
    with override_settings(OTPMAIL_ENGINE="tests.engines.Deaf"):
        for _ in range(count):
            promise()
    host, pid, started, fence = holders.new().split("/")
    dead = f"{host}/{pid}/{int(started) - 1}/{fence}"
    Delivery.objects.update(leased_by=dead, leased_until=database.now() + timedelta(minutes=1))


def leave_cancelled() -> None:
    """Leave one that the person does not want any more."""
    leave()
    challenges.cancel("sign-in", Challenge.objects.get().pk, owner="alice")


def serve() -> None:
    """Be a web process: promise a mail, send it, end."""
    with settling():
        promise()


def claim_due() -> None:
    """Be a process that finds a promise when it starts, sends it, and ends."""
    with settling():
        pass


def take_up_a_load() -> None:
    """Be one that finds three, to be sent by a route that was fast so far."""
    hedging.took("default", 0.001)
    with settling(3):
        pass


@contextlib.contextmanager
def settling(mails: int = 1) -> Iterator[None]:
    """Run an engine until mails are settled. No polling: each query would be one more step."""
    settled = threading.Semaphore(0)

    def settle(**_: object) -> None:
        settled.release()

    for signal in SETTLED:
        signal.connect(settle)
    with override_settings(OTPMAIL_ENGINE=THREADS):
        engines.current().start()
        yield
        assert all(settled.acquire(timeout=10) for _ in range(mails))
        engines.current().stop(5)


def look_after() -> None:
    """Be the process that is started after a crash: run until nothing waits."""
    with override_settings(OTPMAIL_ENGINE=THREADS, OTPMAIL_SWEEP_SECONDS=0.02):
        engines.current().start()
        wait_until(lambda: not Delivery.objects.filter(state="queued").exists())
        engines.current().stop(5)


def test_request_that_sends_its_own_mail(walk):
    """The promise, a whole round and the release, one step after the other in one thread."""
    walked = walk(promise)
    assert walked.steps >= {"INSERT", "COMMIT", "UPDATE", "send", "recv"}
    assert walked.unpromised >= 4  # up to its commit it is no promise
    assert walked.once > 10
    assert walked.doubled  # taken by the server and not yet written down: the one doubt there is


def test_web_process(walk):
    walked = walk(serve)
    assert walked.unpromised
    assert walked.once
    assert not walked.given_up


def test_process_that_takes_up_what_another_left_and_is_refused_once(walk):
    walked = walk(claim_due, given=leave, replies=(LATER, mailserver.OK))
    assert walked.once > 20
    assert not walked.unpromised
    assert not walked.given_up


def test_process_that_takes_up_a_load_of_which_one_is_refused_for_good(walk):
    walked = walk(
        take_up_a_load, given=partial(leave, 3), replies=(mailserver.OK, NO, mailserver.OK)
    )
    assert walked.once > 20
    assert walked.doubled
    assert walked.given_up


@pytest.mark.parametrize(
    ("given", "replies"),
    [(leave, (NO,)), (leave_cancelled, (mailserver.OK,))],
    ids=["refused for good", "cancelled"],
)
def test_mail_that_is_not_sent_has_its_reason(walk, given, replies):
    walked = walk(claim_due, given=given, replies=replies)
    assert walked.given_up > 10
    assert not walked.once


def test_walk_finds_a_mail_that_is_lost(walk, settings):
    """The proof can fail: here mails are said to be accepted, and no server has them."""

    def promise_into_the_void() -> None:
        mailserver.route_through(settings, "django.core.mail.backends.dummy.EmailBackend")
        promise()

    with pytest.raises(AssertionError, match="lost"):
        walk(promise_into_the_void)
