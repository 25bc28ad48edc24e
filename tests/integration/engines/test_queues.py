"""However much other mail there is, a code finds room, a courier and a session."""

import asyncio
import threading
from uuid import uuid4

import pytest
from django.core.mail import EmailMessage

from otpmail import engines, routes
from otpmail.backends.outbox import EmailBackend
from otpmail.engines.schedule import Schedule
from otpmail.models import Delivery, DeliveryState, Queue
from tests import mailserver
from tests.rounds import promise
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

BACKLOG = 2000


class SlowOnNewsletters(mailserver.MailServer):
    """Takes a code at once, and a newsletter when it is told to."""

    takes_newsletters = False
    newsletters = 0

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.newsletters += b"newsletter" in envelope.content
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


def put_other_mail(count, owner="newsletter"):
    backend = EmailBackend(routes=["default"])
    backend.send_messages(
        [
            EmailMessage(owner, "", "coop@example.org", [f"{number}@example.org"])
            for number in range(count)
        ]
    )


def wait_for_a_code():
    challenge_id = promise().challenge_id
    mine = Delivery.objects.filter(challenge=challenge_id, queue=Queue.CODE)
    wait_until(lambda: mine.get().state == DeliveryState.ACCEPTED)


def test_code_does_not_wait_behind_thousands_of_mails_that_a_server_takes_slowly(engine, server):
    """Though both are for one domain, whose server may be what is slow."""
    put_other_mail(BACKLOG)
    wait_until(lambda: server.newsletters)
    wait_for_a_code()
    assert len(server.mails) == 1  # no newsletter was taken, and none is


def test_full_queue_leaves_room_in_the_other(engine, server):
    put_other_mail(BACKLOG)
    wait_until(lambda: engine.holder(Queue.MAIL) is None)
    assert engine.holder(Queue.CODE)


def test_other_mail_leaves_too(engine, server):
    put_other_mail(20, owner="receipt")
    server.wait_for(20)


def test_code_that_is_due_goes_before_other_mail():
    schedule = Schedule({Queue.CODE: 1, Queue.MAIL: 1})
    newsletter, code = uuid4(), uuid4()
    schedule.put(newsletter, Queue.MAIL)
    schedule.put(code, Queue.CODE)
    turn = schedule.turn()
    assert schedule.take(turn, codes=1) == ([code], Queue.CODE)
    assert schedule.take(turn, codes=1) == ([newsletter], Queue.MAIL)


def test_code_that_waits_for_its_retry_holds_up_no_other_mail():
    schedule = Schedule({Queue.CODE: 1, Queue.MAIL: 1})
    newsletter = uuid4()
    schedule.put(uuid4(), Queue.CODE, 60)
    schedule.put(newsletter, Queue.MAIL)
    assert schedule.take(schedule.turn(), codes=1) == ([newsletter], Queue.MAIL)


def test_mail_that_comes_due_is_taken_though_an_idle_courier_saw_no_room_for_it():
    schedule = Schedule({Queue.CODE: 3, Queue.MAIL: 1})
    first, second = uuid4(), uuid4()
    schedule.put(first, Queue.MAIL)
    turn = schedule.turn()
    schedule.take(turn, codes=1)
    taken = []

    def courier(turn):
        taken.append(schedule.take(turn, codes=1))

    schedule.put(second, Queue.MAIL, 0.5)
    idle = threading.Thread(target=courier, args=[schedule.turn()])
    idle.start()
    wait_until(lambda: schedule._idle)  # until nothing: the one courier for it is at work
    schedule.give_back({first: None}, Queue.MAIL, turn)
    free = threading.Thread(target=courier, args=[turn])
    free.start()
    try:
        wait_until(lambda: taken == [([second], Queue.MAIL)], seconds=20)
    finally:
        schedule.close()
        idle.join()
        free.join()


def due(schedule, count, queue=Queue.CODE):
    ids = [uuid4() for _ in range(count)]
    for delivery_id in ids:
        schedule.put(delivery_id, queue)
    return ids


def test_busy_couriers_take_several_codes_that_are_due_the_first_first():
    schedule = Schedule({Queue.CODE: 2, Queue.MAIL: 1})
    ids = due(schedule, 5)
    schedule.put(uuid4(), Queue.CODE, 60)
    assert schedule.take(schedule.turn(), codes=3) == (ids[:3], Queue.CODE)
    assert schedule.take(schedule.turn(), codes=9) == (ids[3:], Queue.CODE)


def test_codes_are_left_to_a_courier_that_idles():
    schedule = Schedule({Queue.CODE: 2, Queue.MAIL: 1})
    first, _ = due(schedule, 2)
    schedule._idle.append(schedule.turn())
    assert schedule.take(schedule.turn(), codes=9) == ([first], Queue.CODE)


def test_other_mail_is_taken_one_by_one():
    schedule = Schedule({Queue.CODE: 2, Queue.MAIL: 1})
    first, _ = due(schedule, 2, Queue.MAIL)
    assert schedule.take(schedule.turn(), codes=9) == ([first], Queue.MAIL)


def test_load_is_one_couriers_work_and_each_of_it_comes_due_again_at_its_time():
    schedule = Schedule({Queue.CODE: 2, Queue.MAIL: 1})
    first, second, third = due(schedule, 3)
    turn = schedule.turn()
    schedule.take(turn, codes=3)
    assert schedule.in_hand() == {first, second, third}
    (fourth,) = due(schedule, 1)
    assert schedule.take(schedule.turn(), codes=3) == ([fourth], Queue.CODE)  # the other courier
    schedule.give_back({first: None, second: 0, third: 60}, Queue.CODE, turn)
    assert schedule.in_hand() == {fourth}
    assert schedule.count(Queue.CODE) == 3
    assert schedule.take(schedule.turn(), codes=3) == ([second], Queue.CODE)


def test_what_is_given_back_as_due_keeps_its_place():
    schedule = Schedule({Queue.CODE: 2, Queue.MAIL: 1})
    first, second, third = due(schedule, 3)
    turn = schedule.turn()
    assert schedule.take(turn, codes=2) == ([first, second], Queue.CODE)
    schedule.give_back({first: 0, second: 0}, Queue.CODE, turn)
    assert schedule.take(schedule.turn(), codes=3) == ([first, second, third], Queue.CODE)


def test_what_is_given_back_as_due_still_leaves_while_the_engine_ends():
    schedule = Schedule({Queue.CODE: 2, Queue.MAIL: 1})
    first, second = due(schedule, 2)
    turn = schedule.turn()
    schedule.take(turn, codes=2)
    schedule.close()
    schedule.give_back({first: 0, second: 1}, Queue.CODE, turn)
    assert schedule.take(turn, codes=2) == ([first], Queue.CODE)
    assert schedule.drain(until=0) == {first}
    schedule.give_back({first: 0}, Queue.CODE, turn)
    assert schedule.take(schedule.turn(), codes=2) is None


def test_round_that_was_abandoned_ends_nothing_of_the_one_that_took_its_place():
    schedule = Schedule({Queue.CODE: 2, Queue.MAIL: 1})
    (stuck,) = due(schedule, 1)
    first, second = schedule.turn(), schedule.turn()
    schedule.take(first, codes=1)
    assert schedule.abandon(after_seconds=0) == {stuck}
    schedule.put(stuck, Queue.CODE)
    assert schedule.take(second, codes=1) == ([stuck], Queue.CODE)
    schedule.give_back({stuck: 60}, Queue.CODE, first)
    assert schedule.in_hand() == {stuck}
    schedule.give_back({stuck: None}, Queue.CODE, second)
    assert (schedule.in_hand(), schedule.count(Queue.CODE)) == (set(), 0)


def test_in_a_backlog_the_youngest_code_goes_first_and_the_oldest_does_not_starve(clock):
    schedule = Schedule({Queue.CODE: 20, Queue.MAIL: 1})
    ids = due(schedule, 8)
    clock.move(2)
    fresh = due(schedule, 1)
    taken = [schedule.take(schedule.turn(), codes=1)[0][0] for _ in range(9)]
    assert taken[0] == fresh[0]
    assert taken[:4] == [fresh[0], ids[7], ids[6], ids[0]]
    assert sorted(taken) == sorted([*ids, *fresh])


def test_without_a_backlog_the_first_goes_first(clock):
    schedule = Schedule({Queue.CODE: 20, Queue.MAIL: 1})
    ids = due(schedule, 3)
    assert [schedule.take(schedule.turn(), codes=1)[0][0] for _ in range(3)] == ids
