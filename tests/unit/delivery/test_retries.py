import pytest

from otpmail.delivery.retries import wait_seconds

NOTE = (2, 4, 6)


@pytest.mark.parametrize(("failed", "wait"), [(1, 2), (2, 4), (3, 6)])
def test_waits_are_those_of_the_schedule(failed, wait):
    assert wait_seconds(NOTE, failed=failed, life_left=60, chance=0.5) == pytest.approx(wait)


def test_after_the_last_wait_there_is_none():
    assert wait_seconds(NOTE, failed=4, life_left=60) is None


def test_wait_beyond_the_deadline_is_none():
    assert wait_seconds(NOTE, failed=2, life_left=3.5, chance=0.5) is None


@pytest.mark.parametrize(("chance", "wait"), [(0, 1.8), (1, 2.2)])
def test_waits_spread_by_a_tenth(chance, wait):
    assert wait_seconds(NOTE, failed=1, life_left=60, chance=chance) == pytest.approx(wait)


def test_chance_is_random_when_left_out():
    assert len({wait_seconds(NOTE, failed=1, life_left=60) for _ in range(20)}) > 1


def test_wait_is_never_shorter_than_the_server_asked():
    waits = [
        wait_seconds((2, 4, 6), failed=1, life_left=400, at_least=30, chance=chance)
        for chance in (0, 0.5, 1)
    ]
    assert waits == pytest.approx([30, 33, 36])


def test_no_wait_lasts_beyond_the_deadline_whatever_the_server_asks():
    assert wait_seconds((2, 4, 6), failed=1, life_left=400, at_least=3600) is None
