import logging

from otpmail.wire.modes import MAX_REMEMBERED, Memory, Mode


def test_a_server_is_trusted_until_it_misbehaves_and_is_told_of_once(caplog):
    memory = Memory()
    assert memory.ceiling("mx.example.org", 25) is Mode.CHUNKED
    with caplog.at_level(logging.WARNING):
        memory.distrust("mx.example.org", 25, "503 to a pipelined command")
    assert memory.ceiling("mx.example.org", 25) is Mode.STEPWISE
    assert memory.ceiling("mx.example.org", 587) is Mode.CHUNKED
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "mx.example.org:25" in caplog.text


def test_the_memory_is_bounded():
    memory = Memory()
    for port in range(MAX_REMEMBERED + 10):
        memory.distrust("mx.example.org", port, "x")
    assert len(memory._until) <= MAX_REMEMBERED
