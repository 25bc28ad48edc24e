"""Several codes on one round: they go together, and each has its own end."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext

from otpmail import challenges, routes
from otpmail.db import database
from otpmail.delivery import courier, leases, settling
from otpmail.engines.threads import ThreadsEngine
from otpmail.models import Attempt, Challenge, Delivery, Queue
from otpmail.models.audit import AuditEntry
from otpmail.routes import hedging
from tests import mailserver
from tests.mailtemplates import templates
from tests.rounds import ME, promise, states, tried
from tests.scripted import scripted
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

CHUNKED_OK = b"250 ok\r\n" * 3 + b"250 2.0.0 taken\r\n"


@pytest.fixture(autouse=True)
def _engine(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_OPEN_CHALLENGES = 100
    settings.OTPMAIL_RECIPIENT_QUOTA = ()
    settings.OTPMAIL_HEDGE_AFTER = 60  # where a test is of hedges, it says so
    yield
    routes.close()
    wait_until(
        lambda: not any(thread.name.startswith("otpmail-try") for thread in threading.enumerate())
    )


@pytest.fixture
def two(settings):
    with mailserver.running() as first, mailserver.running() as second:
        lead_to(settings, a=first.port, b=second.port)
        yield first, second


def lead_to(settings, **ports):
    """Let routes lead there, which were fast so far."""
    mailserver.routes_to(settings, **ports)
    for route in ports:
        are_known_to_take(route, 0.001)


def are_known_to_take(route, seconds):
    """So many times that what this machine takes for a few more says nothing of it."""
    for _ in range(hedging.REMEMBERED):
        hedging.took(route, seconds)


def promises(count):
    return [promise(recipient=f"{number}@example.org") for number in range(count)]


def claim():
    return list(leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=100))


def carry():
    """Do one round with all that is free."""
    claimed = claim()
    waits = courier.run(claimed, ME).waits
    assert set(waits) == set(claimed)
    return list(waits.values())


def ends():
    """Tell each delivery's state by its recipient's number."""
    rows = Delivery.objects.order_by("pk").values_list("challenge__recipient", "state")
    return {int(recipient.partition("@")[0]): state for recipient, state in rows}


def test_all_leave_over_one_session_and_are_settled_together(two):
    promises(8)
    with CaptureQueriesContext(connection) as one_by_one:
        courier.run(claim()[:1], ME)
    with CaptureQueriesContext(connection) as together:
        assert carry() == []  # all are claimed already
        mine = list(Delivery.objects.filter(state="queued").values_list("pk", flat=True))
        assert courier.run(mine, ME).waits == dict.fromkeys(mine)
    assert len(two[0].mails) == 8
    assert two[0].sessions == 1
    assert ends() == dict.fromkeys(range(8), "accepted")
    assert Attempt.objects.count() == AuditEntry.objects.filter(action="mailed").count() == 8
    looks = 7  # one before each body, which is a step of its own here
    assert len(together) < len(one_by_one) + looks + 10


def test_all_are_in_flight_at_once(settings):
    bodies = []

    def script(talk):
        talk.greet()
        bodies.extend(talk.hear_chunked() for _ in range(3))
        talk.say((b"250 ok\r\n" + b"250 ok\r\n" * 2 + b"250 2.0.0 taken\r\n") * 3)
        talk.wait_for_end()

    with scripted(script) as server:
        lead_to(settings, a=server.port)
        promises(3)
        assert carry() == [None] * 3
    assert len(bodies) == 3
    assert states() == {"accepted"}


def test_each_has_its_own_end(two):
    two[0].rcpt = ["250 ok", "550 5.1.1 no such user", "451 4.2.1 mailbox busy", "250 ok"]
    two[1].rcpt = ["451 4.2.1 mailbox busy"]
    promises(4)
    first, second, third, fourth = carry()
    assert (first, second, fourth) == (None, None, None)
    assert 1.8 <= third <= 2.2
    assert ends() == {0: "accepted", 1: "failed", 2: "queued", 3: "accepted"}
    assert sorted(tried()) == [
        ("a", "accepted"),
        ("a", "accepted"),
        ("a", "permanent"),
        ("a", "transient"),
        ("b", "transient"),
    ]
    assert routes.circuit_statuses()["a"].faults == 0


@pytest.mark.parametrize(
    ("reply", "left_over"),
    [
        ("451 4.7.1 later", 2),
        ("451 4.3.0 full", 1),  # maybe the session's own: the same mail is asked with over another
    ],
)
def test_what_a_route_leaves_over_the_next_one_carries(two, reply, left_over):
    two[0].data = [mailserver.OK, reply, reply, mailserver.OK]
    promises(4)
    assert carry() == [None] * 4
    assert (len(two[0].mails), len(two[1].mails)) == (4 - left_over, left_over)
    assert states() == {"accepted"}


def test_dead_route_costs_a_load_one_fault(settings, two):
    lead_to(settings, a=mailserver.free_port(), b=two[1].port)
    promises(5)
    assert carry() == [None] * 5
    assert len(two[1].mails) == 5
    assert routes.circuit_statuses()["a"].faults == 1
    assert set(Delivery.objects.values_list("rounds", flat=True)) == {1}


def test_route_that_is_cut_off_leaves_in_doubt_only_what_it_may_have_taken(settings, two):
    def script(talk):
        talk.greet()
        for _ in range(3):
            talk.hear_chunked()
        talk.say(CHUNKED_OK)
        talk.cut()

    with scripted(script) as server:
        lead_to(settings, a=server.port, b=two[1].port)
        promises(3)
        first, *others = carry()
    assert first is None
    assert all(others)
    assert ends() == {0: "accepted", 1: "queued", 2: "queued"}
    assert tried() == [("a", "accepted"), ("a", "unknown"), ("a", "unknown")]
    assert two[1].mails == []


# Never a dead code


def taking(count, bodies, *, before=None, meanwhile=None):
    """Take so many mails in one flight; do something before the greeting, or before the answer."""

    def script(talk):
        _do(before)
        talk.greet()
        bodies.extend(talk.hear_chunked() for _ in range(count))
        _do(meanwhile)
        talk.say(CHUNKED_OK * count)
        talk.wait_for_end()

    return script


def _do(step):
    if step is not None:
        step()
        connections.close_all()


def recipients(bodies):
    return [line for body in bodies for line in body.splitlines() if line.startswith(b"To:")]


def test_one_that_dies_while_the_session_opens_is_not_sent(settings):
    def cancel():
        challenges.cancel("sign-in", issued[1].challenge_id, owner="alice")

    bodies = []
    with scripted(taking(2, bodies, before=cancel)) as server:
        lead_to(settings, a=server.port)
        issued = promises(3)
        assert carry() == [None] * 3
    assert recipients(bodies) == [b"To: 0@example.org", b"To: 2@example.org"]
    assert ends() == {0: "accepted", 1: "dropped", 2: "accepted"}
    assert Delivery.objects.get(state="dropped").reason == "cancelled"


def test_one_that_is_dead_when_it_is_read_is_dropped_and_the_others_leave(two):
    issued = promises(3)
    challenges.cancel("sign-in", issued[0].challenge_id, owner="alice")
    assert carry() == [None] * 3
    assert ends() == {0: "dropped", 1: "accepted", 2: "accepted"}
    assert [mail["To"] for mail in two[0].mails] == ["1@example.org", "2@example.org"]


def test_look_is_taken_anew_for_those_whose_turn_comes_late(settings, two):
    """Where mails go one by one, a slow server must not let a look grow old."""
    two[0].delay_seconds = 0.1
    cancelled = threading.Event()
    two[0].may_take = lambda: not two[0].mails or cancelled.is_set()
    issued = promises(3)

    def cancel():
        wait_until(lambda: two[0].mails)
        challenges.cancel("sign-in", issued[2].challenge_id, owner="alice")
        connections.close_all()
        cancelled.set()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    carry()
    canceller.join()
    assert ends() == {0: "accepted", 1: "accepted", 2: "dropped"}
    assert len(two[0].mails) == 2


def test_fault_of_the_second_look_loses_no_acceptance(settings, two, monkeypatch):
    """Where envelopes are written one by one, it can come when some are taken already."""
    two[0].delay_seconds = 0.06
    read_again, calls = leases.read_again, []

    def away_from_the_second_mail_on(*named):
        calls.append(named)
        if len(calls) > 2:  # one before the first envelope, one before its body
            raise OperationalError("the database went away")
        return read_again(*named)

    promises(3)
    claimed = claim()
    monkeypatch.setattr(leases, "read_again", away_from_the_second_mail_on)
    assert [*courier.run(claimed, ME).waits.values()] == [None, 1, 1]
    monkeypatch.setattr(leases, "read_again", read_again)
    assert [*courier.run(claimed, ME).waits.values()] == [None, None, None]
    assert sorted(mail["To"][0] for mail in two[0].mails) == ["0", "1", "2"]
    assert set(Delivery.objects.values_list("state", "rounds")) == {("accepted", 1)}


# What befalls one is not the others' affair


def test_one_whose_lease_is_lost_meanwhile_is_settled_all_the_same(settings):
    def take_away():
        Delivery.objects.filter(challenge=issued[1].challenge_id).update(leased_by="another")

    with scripted(taking(3, [], meanwhile=take_away)) as server:
        lead_to(settings, a=server.port)
        issued = promises(3)
        assert carry() == [None] * 3
    assert ends() == dict.fromkeys(range(3), "accepted")
    assert Attempt.objects.count() == 3  # it happened, so it is told


def test_one_that_is_erased_meanwhile_takes_no_other_along(settings, caplog):
    def erase():
        Challenge.objects.filter(pk=issued[1].challenge_id).delete()

    with scripted(taking(3, [], meanwhile=erase)) as server:
        lead_to(settings, a=server.port)
        issued = promises(3)
        assert carry() == [None] * 3
    assert ends() == {0: "accepted", 2: "accepted"}
    assert Attempt.objects.count() == 2


def test_one_that_is_erased_before_the_next_route_asks_takes_no_other_along(settings, two):
    two[0].data = [mailserver.OK, mailserver.OK, "451 4.3.0 full"]
    issued = promises(3)

    def erase():
        Challenge.objects.filter(pk=issued[2].challenge_id).delete()

    bodies = []
    with scripted(taking(0, bodies, before=erase)) as second:
        lead_to(settings, a=two[0].port, b=second.port)
        assert carry() == [None] * 3
    assert ends() == {0: "accepted", 1: "accepted"}
    assert bodies == []


def test_one_that_cannot_be_settled_takes_no_other_along(settings, two, monkeypatch):
    two[0].data = ["451 4.3.0 full"] * 2 + [mailserver.OK]
    two[1].data = ["451 4.3.0 full"]
    promises(4)
    settle, broken = settling.settle, Delivery.objects.order_by("deadline").first()

    def sometimes(delivery, *named, **options):
        if delivery == broken:
            raise IntegrityError
        return settle(delivery, *named, **options)

    monkeypatch.setattr(settling, "settle", sometimes)
    first, second, *others = carry()
    assert first == 1
    assert 1.8 <= second <= 2.2
    assert others == [None, None]
    assert ends() == {0: "queued", 1: "queued", 2: "accepted", 3: "accepted"}


def test_one_that_cannot_be_rendered_is_tried_again_and_the_others_leave(settings, two):
    settings.TEMPLATES = [templates({"otpmail/broken/subject.txt": "{{ code|add:missing }}"})]
    settings.OTPMAIL_PURPOSES = {"broken": {}}
    promises(2)
    promise(purpose="broken", recipient="2@example.org")
    first, second, third = carry()
    assert (first, second) == (None, None)
    assert third
    assert ends() == {0: "accepted", 1: "accepted", 2: "queued"}


def fail(*_, **__):
    raise OperationalError("the facts' own database is away")


def test_one_whose_round_fails_does_not_hold_up_the_others(settings, two, caplog):
    settings.OTPMAIL_PURPOSES = {
        "transfer": {"FACTS": "tests.integration.delivery.test_loads.fail"}
    }
    promises(4)
    poison = promise(recipient="4@example.org")
    Challenge.objects.filter(pk=poison.challenge_id).update(purpose="transfer", is_bound=True)
    engine = ThreadsEngine()
    engine.claim_due(Queue.CODE)
    wait_until(lambda: list(ends().values()).count("accepted") == 4)
    engine.stop(seconds=5)
    assert ends()[4] == "queued"
    assert len(two[0].mails) == 4
    failed = [record for record in caplog.records if "round failed" in record.message]
    assert all(str(Delivery.objects.get(state="queued").pk) in line.message for line in failed)


def test_what_finds_no_room_in_the_load_is_left_as_it_is(two):
    are_known_to_take("a", 0.1)  # two at a time
    promises(5)
    assert carry() == [None, None, 0, 0, 0]
    assert len(two[0].mails) == 2


def test_what_takes_another_way_is_left_as_it_is(settings, two):
    settings.OTPMAIL_PURPOSES = {"other": {"ROUTES": ["b"]}}
    promises(2)
    promise(purpose="other", recipient="2@example.org")
    assert carry() == [None, None, 0]
    assert two[1].mails == []


def test_mail_with_little_life_left_does_not_bound_the_others_time(two):
    promises(3)
    Delivery.objects.filter(challenge__recipient="1@example.org").update(
        deadline=database.now() + timedelta(seconds=5)
    )
    assert carry() == [0, None, 0]
    assert [mail["To"][0] for mail in two[0].mails] == ["1"]


# Hedges


def test_silent_route_costs_a_load_one_token_a_mail(settings, two):
    settings.OTPMAIL_HEDGE_AFTER = 0.2
    with scripted(lambda talk: talk.wait_for_end()) as silent:
        lead_to(settings, a=silent.port, b=two[1].port)
        promises(5)
        assert carry() == [None] * 5
        assert tried() == [("b", "accepted")] * 5  # the silent one's end is recorded later
    assert len(two[1].mails) == 5
    assert routes.circuit_statuses()["a"].faults == 1
    assert sum(hedging.token_buckets["a"].take() for _ in range(20)) == 15


def test_load_is_hedged_whole_or_not_at_all(settings, two):
    """Or a fail-over of the rest would find no route left."""
    settings.OTPMAIL_HEDGE_AFTER = 0.2
    two[0].delay_seconds = 0.1
    hedging.token_buckets["a"].take(18)
    promises(4)
    assert carry() == [None] * 4
    assert two[1].mails == []
    assert routes.circuit_statuses()["a"].faults == 1


def test_what_the_hedge_took_the_slow_route_does_not_write(settings, two):
    settings.OTPMAIL_HEDGE_AFTER = 0.2
    settled = threading.Event()
    two[0].may_take = settled.is_set
    two[1].may_take = lambda: two[0].in_hand
    promises(4)
    assert carry() == [None] * 4
    settled.set()
    assert len(two[1].mails) == 4
    wait_until(lambda: two[0].mails)
    assert len(two[0].mails) == 1
