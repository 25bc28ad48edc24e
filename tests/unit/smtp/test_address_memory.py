"""Which of a host's addresses is tried first."""

import socket

import pytest

from otpmail.smtp import connecting
from otpmail.smtp.connecting import REMEMBERED, Memory, interleaved
from otpmail.smtp.connection_attempts import Address


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock) -> Memory:
    return Memory(clock)


def at(name: str) -> Address:
    family = socket.AF_INET6 if name.startswith("six") else socket.AF_INET
    return Address(family, socket.SOCK_STREAM, 6, "", (name, 25))


A, B, C = at("a"), at("b"), at("c")


def order(memory: Memory, host: str = "h", port: int = 25) -> list[Address]:
    return memory.sort(host, port, [A, B, C])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("six1 six2 six3 a b", "six1 a six2 b six3"),
        ("a b six1 six2", "a six1 b six2"),
        ("a b", "a b"),
        ("six1", "six1"),
        ("", ""),
    ],
)
def test_families_take_turns_from_the_first_ones_on(names, expected):
    sorted_ = interleaved(map(at, names.split()))
    assert [str(address) for address in sorted_] == expected.split()


def test_what_is_not_known_stays_in_the_resolvers_order(memory):
    assert order(memory) == [A, B, C]


def test_what_answered_is_first_for_ten_minutes_and_not_longer_for_being_used(memory, clock):
    memory.answered("h", 25, B)
    clock.now += REMEMBERED - 1
    memory.answered("h", 25, B)
    assert order(memory) == [B, A, C]
    clock.now += 1
    assert order(memory) == [A, B, C]
    memory.answered("h", 25, B)
    assert order(memory) == [B, A, C]


def test_what_failed_is_last_for_ten_minutes(memory, clock):
    memory.failed("h", 25, A)
    clock.now += REMEMBERED - 1
    assert order(memory) == [B, C, A]
    clock.now += 1
    assert order(memory) == [A, B, C]


def test_what_answered_last_comes_before_what_answered_earlier(memory, clock):
    memory.answered("h", 25, A)
    clock.now += 1
    memory.answered("h", 25, C)
    assert order(memory) == [C, A, B]


def test_the_last_word_on_an_address_holds(memory):
    memory.answered("h", 25, A)
    memory.failed("h", 25, A)
    assert order(memory) == [B, C, A]
    memory.answered("h", 25, A)
    memory.failed("h", 25, B)
    assert order(memory) == [A, C, B]


def test_hosts_and_ports_are_kept_apart(memory):
    memory.failed("h", 25, A)
    assert order(memory, port=26) == order(memory, host="i") == [A, B, C]


def test_no_more_is_remembered_than_there_is_room_for(memory, monkeypatch):
    monkeypatch.setattr(connecting, "MAX_REMEMBERED", 10)
    for port in range(100):
        memory.failed("h", port, A)
        memory.answered("h", port, B)
    assert len(memory._silent) <= 10
    assert len(memory._answered) <= 10
