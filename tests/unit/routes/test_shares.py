"""How many couriers one recipient's domain may hold."""

import os

import pytest

from otpmail.routes import shares as module
from otpmail.routes.shares import QUICK_FOR_SECONDS, SLOW_SECONDS, Shares, share_wait_seconds


@pytest.fixture
def shares(clock, settings):
    settings.OTPMAIL_COURIERS = 8
    return Shares()


def taken(shares, domain, times=20):
    return sum(shares.take(domain) for _ in range(times))


def be_quick(shares, domain):
    assert shares.take(domain)
    shares.give_back(domain, is_quick=True)


def test_domain_of_which_nothing_is_known_has_half(shares):
    assert taken(shares, "a") == 4
    assert taken(shares, "b") == 4  # whatever another holds


@pytest.mark.parametrize(("couriers", "share"), [(1, 1), (2, 2), (3, 3), (4, 2), (9, 4)])
def test_where_couriers_are_few_none_is_kept_for_others(shares, settings, couriers, share):
    settings.OTPMAIL_COURIERS = couriers
    assert taken(shares, "a") == share


def test_what_is_given_back_may_be_taken_again(shares):
    assert taken(shares, "a") == 4
    shares.give_back("a", is_quick=False)
    assert taken(shares, "a") == 1


def test_quick_domain_has_all_for_a_while(shares):
    be_quick(shares, "a")
    assert taken(shares, "a") == 8
    assert taken(shares, "b") == 4


def test_one_that_was_quick_long_ago_has_half(shares, clock):
    be_quick(shares, "a")
    clock.move(QUICK_FOR_SECONDS)
    assert taken(shares, "a") == 4


def test_one_that_becomes_slow_has_half(shares, clock):
    be_quick(shares, "a")
    assert taken(shares, "a", 4) == 4
    assert not shares.is_slow("a")
    clock.move(SLOW_SECONDS + 0.25)
    assert shares.is_slow("a")
    assert taken(shares, "a") == 0
    shares.give_back("a", is_quick=False)
    assert taken(shares, "a") == 1


def test_one_whose_mails_go_on_being_answered_is_not_slow(shares, clock):
    be_quick(shares, "a")
    assert taken(shares, "a", 4) == 4
    for _ in range(10):
        clock.move(SLOW_SECONDS / 2)
        shares.give_back("a", is_quick=True)
        assert shares.take("a")
    assert not shares.is_slow("a")


def test_where_all_mails_take_long_none_is_slow(shares, clock, monkeypatch):
    monkeypatch.setattr(module.hedging, "usual_seconds", lambda _: 2.0)
    be_quick(shares, "a")
    assert taken(shares, "a", 4) == 4
    clock.move(5)
    assert not shares.is_slow("a")


def test_who_types_domains_fills_no_memory(shares, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 10)
    for number in range(100):
        be_quick(shares, f"{number}.example")
    assert len(shares._quick_until) == 10
    assert not shares._held
    assert not shares._oldest


def test_older_mail_waits_longer_for_a_courier():
    waits = [share_wait_seconds(age) for age in (0, 0.1, 1, 4, 600)]
    assert waits == [0.1, 0.1, 0.5, 2, 5]


def test_forked_child_begins_anew():
    assert module.shares.take("fork.example")
    if (pid := os.fork()) == 0:
        os._exit(0 if not module.shares._held else 1)
    assert os.waitpid(pid, 0)[1] == 0
    module.shares.give_back("fork.example", is_quick=False)
