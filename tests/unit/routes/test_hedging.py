"""When a silent route is hedged, and how often at most."""

import pytest

from otpmail.routes import hedging
from tests.crowd import at_once


@pytest.fixture(autouse=True)
def fresh(settings):
    settings.MAILERS = {}


@pytest.mark.parametrize(("rule", "seconds"), [(0.3, 0.3), (None, float("inf")), ("auto", 1.0)])
def test_rule_says_when(settings, rule, seconds):
    settings.OTPMAIL_HEDGE_AFTER = rule
    assert hedging.after_seconds("a") == seconds


def test_auto_is_three_times_what_its_slow_mails_took(settings):
    settings.OTPMAIL_HEDGE_AFTER = "auto"
    for _ in range(94):
        hedging.took("a", 0.1)
    for _ in range(6):
        hedging.took("a", 0.8)
    assert hedging.after_seconds("a") == pytest.approx(2.4)
    assert hedging.after_seconds("b") == 1.0


def test_auto_has_an_end(settings):
    settings.OTPMAIL_HEDGE_AFTER = "auto"
    hedging.took("a", 15)
    assert hedging.after_seconds("a") == 5.0


def test_auto_forgets_what_was_long_ago():
    hedging.took("a", 60)
    for _ in range(100):
        hedging.took("a", 0.01)
    assert hedging.after_seconds("a") == 1.0


def test_hedges_are_a_burst_and_then_a_share_of_the_mails():
    bucket = hedging.token_buckets["a"]
    assert [bucket.take() for _ in range(21)] == [True] * 20 + [False]
    for _ in range(200):
        bucket.earn()
    assert [bucket.take() for _ in range(11)] == [True] * 9 + [True, False]


def test_tokens_do_not_pile_up():
    bucket = hedging.token_buckets["a"]
    for _ in range(10_000):
        bucket.earn()
    assert sum(bucket.take() for _ in range(100)) == 20


def test_many_threads_share_the_tokens():
    bucket = hedging.token_buckets["a"]
    taken = at_once(*[lambda: sum(bucket.take() for _ in range(50))] * 8)
    assert sum(taken) == 20
