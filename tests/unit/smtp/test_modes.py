import logging

from otpmail.smtp.modes import FLIGHTS, MAX_REMEMBERED, Memory


def test_a_server_is_trusted_until_it_misbehaves_and_is_told_of_once(caplog):
    memory = Memory()
    assert memory.unkept("mx.example.org", 25) == frozenset()
    with caplog.at_level(logging.WARNING):
        memory.distrust("mx.example.org", 25, FLIGHTS, "503 to what it offered")
    assert memory.unkept("mx.example.org", 25) == FLIGHTS
    assert memory.unkept("mx.example.org", 587) == frozenset()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "mx.example.org:25" in caplog.text


def test_what_is_not_kept_adds_up():
    memory = Memory()
    memory.distrust("mx.example.org", 25, {"SIZE"}, "555 to what it offered")
    memory.distrust("mx.example.org", 25, FLIGHTS, "503 to what it offered")
    assert memory.unkept("mx.example.org", 25) == FLIGHTS | {"SIZE"}


def test_the_memory_is_bounded():
    memory = Memory()
    for port in range(MAX_REMEMBERED + 10):
        memory.distrust("mx.example.org", port, {"SIZE"}, "x")
    assert len(memory._until) <= MAX_REMEMBERED
