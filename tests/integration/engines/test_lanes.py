"""However much other mail there is, a code finds room, a courier and a session."""

import asyncio
from uuid import uuid4

import pytest
from django.core.mail import EmailMessage

from otpmail import engines, routes
from otpmail.backends.outbox import EmailBackend
from otpmail.engines.queue import Queue
from otpmail.models import Delivery, DeliveryState, Lane
from tests import mailserver
from tests.rounds import promise
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

BACKLOG = 2000


class SlowOnNewsletters(mailserver.MailServer):
    """Takes a code at once, and a newsletter when it is told to."""

    takes_newsletters = False

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        while b"newsletter" in envelope.content and not self.takes_newsletters:
            await asyncio.sleep(0.05)
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def server():
    with mailserver.running(SlowOnNewsletters()) as server:
        yield server
        routes.close()


@pytest.fixture
def engine(settings, server):
    """Threads that share four sessions to the mail server with one another."""
    settings.OTPMAIL_SWEEP_SECONDS = 0.1
    settings.OTPMAIL_COURIERS = 4
    mailserver.route_through(
        settings, mailserver.OUR_BACKEND, host=server.host, port=server.port, pool_size=4
    )
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    engine = engines.current()
    yield engine
    server.takes_newsletters = True
    engine.stop(seconds=1)


def put_other_mail(count, subject="newsletter"):
    backend = EmailBackend(routes=["default"])
    backend.send_messages(
        [
            EmailMessage(subject, "", "coop@example.org", [f"{number}@example.org"])
            for number in range(count)
        ]
    )


def wait_for_a_code():
    challenge_id = promise().challenge_id
    mine = Delivery.objects.filter(challenge=challenge_id, lane=Lane.CODE)
    wait_until(lambda: mine.get().state == DeliveryState.ACCEPTED)


def test_code_does_not_wait_behind_thousands_of_mails_that_a_server_takes_slowly(engine, server):
    put_other_mail(BACKLOG)
    wait_until(lambda: "in_hand=2" in repr(engine))
    wait_for_a_code()
    assert len(server.mails) == 1  # no newsletter was taken, and none is


def test_full_lane_leaves_room_in_the_other(engine, server):
    put_other_mail(BACKLOG)
    wait_until(lambda: engine.owner(Lane.MAIL) is None)
    assert engine.owner(Lane.CODE)


def test_other_mail_leaves_too(engine, server):
    put_other_mail(20, subject="receipt")
    server.wait_for(20)


def test_code_that_is_due_goes_before_other_mail():
    queue = Queue({Lane.CODE: 1, Lane.MAIL: 1})
    newsletter, code = uuid4(), uuid4()
    queue.put(newsletter, Lane.MAIL)
    queue.put(code, Lane.CODE)
    turn = queue.turn()
    assert queue.take(turn, codes=1) == ([code], Lane.CODE)
    assert queue.take(turn, codes=1) == ([newsletter], Lane.MAIL)


def test_code_that_waits_for_its_retry_holds_up_no_other_mail():
    queue = Queue({Lane.CODE: 1, Lane.MAIL: 1})
    newsletter = uuid4()
    queue.put(uuid4(), Lane.CODE, 60)
    queue.put(newsletter, Lane.MAIL)
    assert queue.take(queue.turn(), codes=1) == ([newsletter], Lane.MAIL)


def due(queue, count, lane=Lane.CODE):
    ids = [uuid4() for _ in range(count)]
    for delivery_id in ids:
        queue.put(delivery_id, lane)
    return ids


def test_busy_couriers_take_several_codes_that_are_due_the_first_first():
    queue = Queue({Lane.CODE: 2, Lane.MAIL: 1})
    ids = due(queue, 5)
    queue.put(uuid4(), Lane.CODE, 60)
    assert queue.take(queue.turn(), codes=3) == (ids[:3], Lane.CODE)
    assert queue.take(queue.turn(), codes=9) == (ids[3:], Lane.CODE)


def test_codes_are_left_to_a_courier_that_idles():
    queue = Queue({Lane.CODE: 2, Lane.MAIL: 1})
    first, _ = due(queue, 2)
    queue._idle.append(queue.turn())
    assert queue.take(queue.turn(), codes=9) == ([first], Lane.CODE)


def test_other_mail_is_taken_one_by_one():
    queue = Queue({Lane.CODE: 2, Lane.MAIL: 1})
    first, _ = due(queue, 2, Lane.MAIL)
    assert queue.take(queue.turn(), codes=9) == ([first], Lane.MAIL)


def test_load_is_one_couriers_work_and_each_of_it_comes_due_again_at_its_time():
    queue = Queue({Lane.CODE: 2, Lane.MAIL: 1})
    first, second, third = due(queue, 3)
    turn = queue.turn()
    queue.take(turn, codes=3)
    assert queue.in_hand() == {first, second, third}
    (fourth,) = due(queue, 1)
    assert queue.take(queue.turn(), codes=3) == ([fourth], Lane.CODE)  # the other courier
    queue.give_back({first: None, second: 0, third: 60}, Lane.CODE, turn)
    assert queue.in_hand() == {fourth}
    assert queue.count(Lane.CODE) == 3
    assert queue.take(queue.turn(), codes=3) == ([second], Lane.CODE)


def test_what_is_given_back_as_due_keeps_its_place():
    queue = Queue({Lane.CODE: 2, Lane.MAIL: 1})
    first, second, third = due(queue, 3)
    turn = queue.turn()
    assert queue.take(turn, codes=2) == ([first, second], Lane.CODE)
    queue.give_back({first: 0, second: 0}, Lane.CODE, turn)
    assert queue.take(queue.turn(), codes=3) == ([first, second, third], Lane.CODE)


def test_what_is_given_back_as_due_still_leaves_while_the_engine_ends():
    queue = Queue({Lane.CODE: 2, Lane.MAIL: 1})
    first, second = due(queue, 2)
    turn = queue.turn()
    queue.take(turn, codes=2)
    queue.close()
    queue.give_back({first: 0, second: 1}, Lane.CODE, turn)
    assert queue.take(turn, codes=2) == ([first], Lane.CODE)
    assert queue.drain(until=0) == {first}
    queue.give_back({first: 0}, Lane.CODE, turn)
    assert queue.take(queue.turn(), codes=2) is None


def test_round_that_was_abandoned_ends_nothing_of_the_one_that_took_its_place():
    queue = Queue({Lane.CODE: 2, Lane.MAIL: 1})
    (stuck,) = due(queue, 1)
    first, second = queue.turn(), queue.turn()
    queue.take(first, codes=1)
    assert queue.abandon(after_seconds=0) == {stuck}
    queue.put(stuck, Lane.CODE)
    assert queue.take(second, codes=1) == ([stuck], Lane.CODE)
    queue.give_back({stuck: 60}, Lane.CODE, first)
    assert queue.in_hand() == {stuck}
    queue.give_back({stuck: None}, Lane.CODE, second)
    assert (queue.in_hand(), queue.count(Lane.CODE)) == (set(), 0)


def test_in_a_backlog_the_youngest_code_goes_first_and_the_oldest_does_not_starve(clock):
    queue = Queue({Lane.CODE: 20, Lane.MAIL: 1})
    ids = due(queue, 8)
    clock.move(2)
    fresh = due(queue, 1)
    taken = [queue.take(queue.turn(), codes=1)[0][0] for _ in range(9)]
    assert taken[0] == fresh[0]
    assert taken[:4] == [fresh[0], ids[7], ids[6], ids[0]]
    assert sorted(taken) == sorted([*ids, *fresh])


def test_without_a_backlog_the_first_goes_first(clock):
    queue = Queue({Lane.CODE: 20, Lane.MAIL: 1})
    ids = due(queue, 3)
    assert [queue.take(queue.turn(), codes=1)[0][0] for _ in range(3)] == ids
