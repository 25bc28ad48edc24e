"""A code gets out while any way out is alive: real mail servers, one round at a time."""

import logging
import os
import time
from datetime import timedelta

import pytest
from django.db import OperationalError

from otpmail import challenges, engines, routes, signals
from otpmail.challenges import resending
from otpmail.db import database
from otpmail.delivery import courier, dispositions, leases
from otpmail.models import Attempt, Delivery, Queue
from otpmail.outcomes import Blame, Kind, Outcome
from tests import mailserver
from tests.rounds import ME, again, carry, promise, tried
from tests.scripted import scripted
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two():
    with mailserver.running() as first, mailserver.running() as second:
        yield first, second
        routes.close()


@pytest.fixture
def servers(settings, two):
    mailserver.routes_to(settings, a=two[0].port, b=two[1].port)
    return two


@pytest.fixture
def live(settings, two):
    """The first route is dead, the second alive."""
    mailserver.routes_to(settings, a=mailserver.free_port(), b=two[1].port)
    return two[1]


def test_next_route_takes_what_a_dead_one_does_not_in_the_same_round(live, caplog):
    caplog.set_level(logging.INFO)
    promise()
    assert carry() == [None]
    assert tried() == [("a", "transient"), ("b", "accepted")]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.rounds) == ("accepted", 1)
    assert [r.levelname for r in caplog.records if r.name == "otpmail"] == ["WARNING", "INFO"]


def test_dead_route_is_not_asked_by_every_mail(no_probe, live):
    for _ in range(5):
        promise()
    carry()
    assert tried() == [("a", "transient"), ("b", "accepted")] * 3 + [("b", "accepted")] * 2
    assert routes.circuit_statuses()["a"].state is routes.CircuitState.OPEN


@pytest.mark.parametrize("reply", ["451 4.3.0 down", "451 4.7.1 greylisted", "421 4.3.2 closing"])
def test_refusal_for_now_goes_on_to_the_next_route(servers, reply):
    servers[0].data = [reply]
    promise()
    assert carry() == [None]
    assert tried() == [("a", "transient"), ("b", "accepted")]


def test_recipient_refused_for_good_is_asked_of_no_other_route(servers):
    servers[0].rcpt = ["550 5.1.1 no such user"]
    for _ in range(4):
        promise()
    carry()
    assert tried() == [("a", "permanent")] * 4
    assert set(Delivery.objects.values_list("state", "reason")) == {("failed", "refused")}
    assert servers[1].mails == []
    assert routes.circuit_statuses()["a"].state is routes.CircuitState.CLOSED


def test_mail_that_one_route_cannot_carry_leaves_by_the_next_and_shuts_none(servers):
    servers[0].data = ["552 5.3.4 larger than we take"] * 4
    for _ in range(4):
        promise()
    carry()
    assert tried() == [("a", "permanent"), ("b", "accepted")] * 4
    assert routes.circuit_statuses()["a"].state is routes.CircuitState.CLOSED


def test_mail_that_is_too_large_for_an_offer_leaves_by_the_next_route(settings, two):
    def script(talk):
        talk.greet(b"250-scripted\r\n250 SIZE 10\r\n")
        talk.wait_for_end()

    with scripted(script) as narrow:
        mailserver.routes_to(settings, a=narrow.port, b=two[1].port)
        promise()
        carry()
        assert tried() == [("a", "permanent"), ("b", "accepted")]


def test_mail_that_no_route_can_carry_has_failed_at_once(servers):
    for server in servers:
        server.data = ["552 5.3.4 larger than we take"]
    promise()
    assert carry() == [None]
    assert tried() == [("a", "permanent"), ("b", "permanent")]
    assert Delivery.objects.values_list("state", "reason").get() == ("failed", "refused")


@pytest.mark.parametrize("unfit", [0, 1])
def test_mail_that_one_route_cannot_carry_waits_for_the_other(servers, unfit):
    servers[unfit].data = ["552 5.3.4 larger than we take"]
    servers[1 - unfit].data = ["451 4.7.1 greylisted"]
    promise()
    (wait,) = carry()
    assert 1.8 <= wait <= 2.2
    assert Delivery.objects.get().state == "queued"


def test_wrong_password_opens_the_circuit_at_once(no_probe, settings, two):
    def script(talk):
        talk.greet(b"250-scripted\r\n250 AUTH PLAIN\r\n")
        talk.hear()
        talk.say(b"535 5.7.8 wrong password\r\n")
        talk.hear()

    with scripted(script) as refusing:
        mailserver.routes_to(settings, a=refusing.port, b=two[1].port)
        settings.MAILERS["a"]["OPTIONS"] |= {"username": "me", "password": "wrong"}
        promise()
        promise()
        carry()
        assert tried() == [("a", "permanent"), ("b", "accepted"), ("b", "accepted")]


def test_mail_that_may_have_been_taken_goes_another_way_only_later(settings, two):
    """At once it would be a double; after the backoff the person may have answered already."""

    def script(talk):
        talk.greet()
        while not talk.hear().startswith(b"BDAT"):
            pass
        talk.sock.close()

    with scripted(script) as breaking:
        mailserver.routes_to(settings, a=breaking.port, b=two[1].port)
        promise()
        (wait,) = carry()
        assert 1.8 <= wait <= 2.2
        assert tried() == [("a", "unknown")]
        assert again() is None
        assert tried() == [("a", "unknown"), ("b", "accepted")]


def test_backoff_begins_only_when_all_routes_were_tried(servers):
    for server in servers:
        server.data = ["451 4.7.1 greylisted"]
    promise()
    (wait,) = carry()
    assert 1.8 <= wait <= 2.2
    assert 3.6 <= again() <= 4.4
    assert tried() == [("a", "transient"), ("b", "transient")] * 2
    assert Delivery.objects.get().rounds == 2


def test_challenge_answered_between_two_routes_is_not_mailed_by_the_second(servers, settings):
    """And what the first did is recorded all the same."""
    settings.MAILERS["a"] = {"BACKEND": "tests.backends.RefusesTheCancelled"}
    promise()
    assert carry() == [None]
    assert tried() == [("a", "transient")]
    assert Delivery.objects.get().reason == "cancelled"
    assert servers[1].mails == []


# When no route is open


@pytest.fixture
def dead_port(settings):
    port = mailserver.free_port()
    mailserver.routes_to(settings, a=port)
    for _ in range(3):
        promise()
    carry()
    Delivery.objects.all().delete()
    assert routes.circuit_statuses()["a"].state is routes.CircuitState.OPEN
    return port


def claim():
    return list(leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=10))


def test_round_without_an_open_route_is_no_attempt_and_frees_the_row(no_probe, dead_port):
    promise()
    (delivery_id,) = claim()
    before = Attempt.objects.count()
    ended = courier.run([delivery_id], ME)
    assert ended.declined == {delivery_id}
    assert Attempt.objects.count() == before
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.leased_by, delivery.rounds) == ("queued", "", 0)
    assert claim() == [delivery_id]  # due at once, for whoever can send it


def test_mail_that_found_its_route_shut_again_is_free_for_others_soon(dead_port, pass_pause):
    promise()
    (delivery_id,) = claim()
    pass_pause()
    before, promised = Attempt.objects.count(), Delivery.objects.get()
    assert courier.run([delivery_id], ME).declined == {delivery_id}
    assert Attempt.objects.count() == before + 1
    delivery = Delivery.objects.get()
    assert delivery.leased_by == ""
    assert delivery.due_at - promised.due_at < timedelta(seconds=30)


@pytest.fixture
def pass_pause():
    def move():
        routes.circuits.circuits["a"]._asked_at -= 60

    return move


def test_mail_is_sent_as_soon_as_a_route_is_back(dead_port, pass_pause):
    promise()
    with mailserver.running(port=dead_port) as server:
        pass_pause()
        assert carry() == [None]
        assert len(server.mails) == 1
    assert Delivery.objects.get().rounds == 1


def test_mail_whose_attempts_are_used_up_waits_while_no_route_is_alive(dead_port, pass_pause):
    promise()
    Delivery.objects.update(rounds=7)
    before = Attempt.objects.count()
    pass_pause()
    carry()
    assert Attempt.objects.count() == before + 1
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.rounds) == ("queued", 7)


def test_fault_that_opens_a_circuit_sends_its_mail_to_one_route_and_not_to_two(settings, two):
    """Who waits for it sees the circuit open a little before it hears of the fault."""

    def be_slow(**_):
        time.sleep(0.1)

    settings.OTPMAIL_CIRCUIT_FAULTS = 1
    mailserver.routes_to(settings, a=mailserver.free_port(), b=two[0].port, c=two[1].port)
    for signal in (signals.circuit_opened, signals.circuit_stays_open):
        signal.connect(be_slow)
        promise()
        carry()
        signal.disconnect(be_slow)
        routes.circuits.circuits["a"]._asked_at -= 60  # the next one probes
    assert tried() == [("a", "transient"), ("b", "accepted")] * 2
    assert two[1].mails == []


@pytest.mark.parametrize(("kind", "waits"), [(Kind.TRANSIENT, 0), (Kind.UNKNOWN, 2)])
def test_mail_that_came_to_a_route_before_it_was_back_goes_to_it_at_once(servers, kind, waits):
    """Unless another may have taken it: the backoff is for what all have refused."""
    promise()
    outcome = Outcome(kind=kind, reply="", blame=Blame.ROUTE)
    tried_a = routes.RouteAttempt(route="a", began=0, took_seconds=0, outcome=outcome)
    disposition = dispositions.decide(Delivery.objects.get(), [tried_a], database.now())
    assert waits * 0.9 <= disposition.wait_seconds <= waits * 1.1


def test_sign_in_that_rests_here_keeps_no_mail_from_other_hosts(dead_port):
    """Another may have the right password."""
    promise()
    outcome = Outcome(
        kind=Kind.PERMANENT, reply="", blame=Blame.ROUTE, retry_after_seconds=90, is_lasting=True
    )
    tried_a = routes.RouteAttempt(route="a", began=0, took_seconds=0, outcome=outcome)
    disposition = dispositions.decide(Delivery.objects.get(), [tried_a], database.now())
    assert (disposition.wait_seconds, disposition.frees_lease) == (
        dispositions.FREE_AFTER_SECONDS,
        True,
    )


def test_deadline_ends_what_waits_for_a_route(dead_port, pass_time):
    issued = promise()
    pass_time(issued.challenge_id, 481)
    assert leases.claim(ME, queue=Queue.CODE, now=database.now(), limit=10, is_dead=True)
    assert again() is None
    assert Delivery.objects.values_list("state", "reason").get() == ("dropped", "expired")


def test_engine_whose_routes_are_all_shut_drops_what_is_past_its_deadline(
    dead_port, settings, pass_time
):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    issued = promise()
    pass_time(issued.challenge_id, 481)
    engines.current().start()
    wait_until(lambda: Delivery.objects.get().reason == "expired")
    engines.current().stop(5)


def test_engine_whose_routes_are_all_shut_holds_no_row(dead_port, settings):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    engines.current().start()
    before = Attempt.objects.count()
    for _ in range(5):
        promise()
    time.sleep(1.2)  # it asks its route twice and more
    assert set(Delivery.objects.values_list("leased_by", "rounds")) == {("", 0)}
    assert Attempt.objects.count() == before  # it asks without a mail
    engines.current().stop(5)


def test_all_that_waited_through_an_outage_is_out_soon_after_its_end(settings):
    port = mailserver.free_port()
    mailserver.routes_to(settings, a=port, b=mailserver.free_port())
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"
    for _ in range(40):
        promise()
    wait_until(lambda: routes.wait_seconds(["a", "b"]) > 0)
    time.sleep(1)
    with mailserver.running(port=port) as server:
        server.wait_for(40)
        wait_until(lambda: not Delivery.objects.exclude(state="accepted"))
        assert len(server.mails) == 40
    engines.current().stop(5)


# Another way on purpose


def ask_again(issued, pass_time):
    pass_time(issued.challenge_id, 121)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")


def test_mail_that_was_asked_for_again_goes_another_way(servers, pass_time):
    issued = promise()
    carry()
    for _ in range(2):
        ask_again(issued, pass_time)
        carry()
    assert [route for route, _ in tried()] == ["a", "b", "a"]


def test_bounced_mail_is_put_again_once_and_goes_another_way(servers):
    promise()
    carry()
    bounced = Delivery.objects.get()
    now = database.now()
    assert resending.resend_by_other_route(bounced, bounced.challenge, avoid_route="a", now=now)
    assert not resending.resend_by_other_route(bounced, bounced.challenge, avoid_route="a", now=now)
    second = Delivery.objects.exclude(pk=bounced.pk).get()
    assert (second.generation, second.challenge_id) == (bounced.generation, bounced.challenge_id)
    assert second.message_id != bounced.message_id
    carry()
    assert tried() == [("a", "accepted"), ("b", "accepted")]
    first, again = (mailserver.text_of(server.mails[0]).splitlines() for server in servers[:2])
    assert first[0] == again[0]  # the code; how long it is good for is told anew


# Rules


def test_purpose_has_routes_of_its_own(servers, settings):
    settings.OTPMAIL_PURPOSES = {"sign-in": {"ROUTES": ["b"]}}
    promise()
    promise(purpose="other")
    carry()
    assert sorted(tried()) == [("a", "accepted"), ("b", "accepted")]


def test_domain_has_a_first_route(servers, settings):
    settings.OTPMAIL_DOMAIN_ROUTES = {"yahoo.*": ["b"]}
    promise(recipient="alice@yahoo.co.uk")
    carry()
    assert tried() == [("b", "accepted")]


def test_route_bears_no_more_than_its_rate(servers, settings):
    settings.OTPMAIL_HEDGE_AFTER = None
    settings.OTPMAIL_ROUTE_RATES = {"a": {"PER_SECOND": 2}}
    for _ in range(4):
        promise()
    started = time.monotonic()
    carry()
    assert time.monotonic() - started >= 1
    assert {route for route, _ in tried()} == {"a"}


def test_mail_does_not_wait_long_for_its_turn_while_another_route_is_free(servers, settings):
    settings.OTPMAIL_HEDGE_AFTER = 0.1
    settings.OTPMAIL_ROUTE_RATES = {"a": {"AT_ONCE": 1}}
    assert routes.rate_limiter.rate_limiters["a"].acquire(
        deadline=0, until=0
    )  # somebody's mail that takes long
    for _ in range(3):
        promise()
    carry()
    assert [route for route, _ in tried()] == ["b"] * 3


# Faults that are none of a route's


def test_fault_of_the_database_is_none_of_the_routes(servers, settings, monkeypatch):
    def broken(*_):
        raise OperationalError("the database went away")

    promise()
    monkeypatch.setattr(leases, "read_again", broken)
    for settings.OTPMAIL_HEDGE_AFTER in ("auto", None):  # asked by another thread, and by this one
        assert carry() == [1]
        Delivery.objects.update(leased_by="", leased_until=None)
    assert all(state.faults == 0 for state in routes.circuit_statuses().values())
    assert servers[0].mails == []


def test_forked_child_says_nothing_on_its_parents_connections(settings, two):
    mailserver.route_to(settings, two[0].port, backend=mailserver.DJANGOS_BACKEND)
    promise()
    carry()
    (held,) = routes.backend_pools["default"]._idle
    if (pid := os.fork()) == 0:
        os._exit(0 if not routes.backend_pools else 1)
    assert os.waitpid(pid, 0)[1] == 0
    promise()
    carry()
    assert two[0].sessions == 1
    assert routes.backend_pools["default"]._idle == [held]


def test_new_settings_close_what_was_held(settings, two):
    mailserver.route_to(settings, two[0].port, backend=mailserver.DJANGOS_BACKEND)
    promise()
    carry()
    (held,) = routes.backend_pools["default"]._idle
    assert held.connection is not None
    mailserver.route_to(settings, two[1].port, backend=mailserver.DJANGOS_BACKEND)
    assert held.connection is None
    promise()
    carry()
    assert len(two[1].mails) == 1


def test_backend_that_is_lent_when_settings_change_is_closed_when_it_comes_back(settings, two):
    mailserver.route_to(settings, two[0].port, backend=mailserver.DJANGOS_BACKEND)
    with routes.backend_pools["default"].acquire() as backend:
        backend.open()
        mailserver.route_to(settings, two[1].port, backend=mailserver.DJANGOS_BACKEND)
        assert backend.connection is not None
    assert backend.connection is None
