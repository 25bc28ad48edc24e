"""How many couriers one recipient's domain may hold."""

import os

import pytest

from otpmail.routes import domain_shares as module
from otpmail.routes.domain_shares import (
    QUICK_FOR_SECONDS,
    SLOW_SECONDS,
    DomainShares,
)


@pytest.fixture
def domain_shares(clock, settings):
    settings.OTPMAIL_COURIERS = 8
    return DomainShares()


def take(domain_shares, domain, times=20, *, is_code=True):
    held = (domain_shares.take(domain, is_code=is_code) for _ in range(times))
    return [one for one in held if one]


def taken(domain_shares, domain, times=20):
    return len(take(domain_shares, domain, times))


def give_back(domain_shares, held, *, is_quick):
    held.is_quick = is_quick
    domain_shares.give_back(held)


def be_quick(domain_shares, domain):
    (held,) = take(domain_shares, domain, 1)
    give_back(domain_shares, held, is_quick=True)


def test_domain_of_which_nothing_is_known_has_half(domain_shares):
    assert taken(domain_shares, "a") == 4
    assert taken(domain_shares, "b") == 4  # whatever another holds


@pytest.mark.parametrize(("couriers", "share"), [(1, 1), (2, 2), (3, 3), (4, 2), (9, 4)])
def test_where_couriers_are_few_none_is_kept_for_others(domain_shares, settings, couriers, share):
    settings.OTPMAIL_COURIERS = couriers
    assert taken(domain_shares, "a") == share


def test_what_is_given_back_may_be_taken_again(domain_shares):
    one, *_ = take(domain_shares, "a")
    give_back(domain_shares, one, is_quick=False)
    assert taken(domain_shares, "a") == 1


@pytest.mark.parametrize(("couriers", "most"), [(1, 1), (2, 1), (3, 1), (4, 1), (8, 2), (16, 4)])
def test_mail_that_is_no_code_holds_half_of_a_share(domain_shares, settings, couriers, most):
    settings.OTPMAIL_COURIERS = couriers
    share = max(couriers // 2, 1) if couriers >= 4 else couriers
    assert len(take(domain_shares, "a", is_code=False)) == most
    assert taken(domain_shares, "a") == share - most
    assert take(domain_shares, "a", is_code=False) == []


def test_other_mail_that_is_given_back_may_be_taken_again(domain_shares):
    one, other = take(domain_shares, "a", is_code=False)
    domain_shares.give_back(one)
    assert take(domain_shares, "a", is_code=False)
    domain_shares.give_back(other)
    assert taken(domain_shares, "a") == 3


def test_quick_domain_has_all_for_a_while(domain_shares):
    be_quick(domain_shares, "a")
    assert taken(domain_shares, "a") == 8
    assert taken(domain_shares, "b") == 4


def test_one_that_was_quick_long_ago_has_half(domain_shares, clock):
    be_quick(domain_shares, "a")
    clock.move(QUICK_FOR_SECONDS)
    assert taken(domain_shares, "a") == 4


def test_one_that_becomes_slow_has_half(domain_shares, clock):
    be_quick(domain_shares, "a")
    one, *_ = take(domain_shares, "a", 4)
    assert not domain_shares.is_slow("a")
    clock.move(SLOW_SECONDS + 0.25)
    assert domain_shares.is_slow("a")
    assert taken(domain_shares, "a") == 0
    give_back(domain_shares, one, is_quick=False)
    assert taken(domain_shares, "a") == 1


def test_one_whose_mails_go_on_being_answered_is_not_slow(domain_shares, clock):
    be_quick(domain_shares, "a")
    held = take(domain_shares, "a", 4)
    for _ in range(10):
        clock.move(SLOW_SECONDS / 2)
        give_back(domain_shares, held.pop(), is_quick=True)
        held += take(domain_shares, "a", 1)
    assert not domain_shares.is_slow("a")


def test_where_all_mails_take_long_none_is_slow(domain_shares, clock, monkeypatch):
    monkeypatch.setattr(module.hedging, "usual_seconds", lambda _: 2.0)
    be_quick(domain_shares, "a")
    assert taken(domain_shares, "a", 4) == 4
    clock.move(5)
    assert not domain_shares.is_slow("a")


def test_who_types_domains_fills_no_memory(domain_shares, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 10)
    for number in range(100):
        be_quick(domain_shares, f"{number}.example")
    assert len(domain_shares._quick_until) == 10
    assert not domain_shares._held
    assert not domain_shares._oldest


def test_each_that_is_turned_away_waits_longer_until_one_finds_a_courier(domain_shares):
    held = take(domain_shares, "a", 4)
    waits = []
    for _ in range(100):
        assert take(domain_shares, "a", 1) == []
        waits.append(domain_shares.wait_seconds("a"))
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert waits == sorted(waits)
    assert max(waits) == 5
    domain_shares.give_back(held.pop())
    held += take(domain_shares, "a", 1)
    assert take(domain_shares, "a", 1) == []
    assert domain_shares.wait_seconds("a") == pytest.approx(0.1)
    for one in held:
        domain_shares.give_back(one)
    assert not domain_shares._turned_away


def test_forked_child_begins_anew():
    (held,) = take(module.domain_shares, "fork.example", 1)
    if (pid := os.fork()) == 0:
        os._exit(0 if not module.domain_shares._held else 1)
    assert os.waitpid(pid, 0)[1] == 0
    module.domain_shares.give_back(held)
