"""The chaos benchmark's line does what it is told: cut, refuse, fall silent, forget."""

import socket
import threading

import pytest

from benchmarks import cable
from tests.mailserver import free_port


@pytest.fixture
def echo():
    """A service that says what it hears. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=[listener], daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def loop():
    with cable.loop() as cables:
        yield cables


def test_carries_both_ways_until_it_is_cut(loop, echo):
    line = loop.cable(free_port(), echo)
    with client(line) as sock:
        assert said(sock, b"one") == b"one"
        line.cut()
        assert is_over(sock)
    with client(line) as sock:
        assert said(sock, b"three") == b"three"


def test_refuses_while_it_is_down(loop, echo):
    line = loop.cable(free_port(), echo)
    line.down()
    with pytest.raises(ConnectionRefusedError):
        client(line)
    line.up()
    with client(line) as sock:
        assert said(sock, b"one") == b"one"


def test_silent_one_takes_all_and_carries_nothing(loop, echo):
    line = loop.cable(free_port(), echo)
    with client(line) as before:
        assert said(before, b"one") == b"one"
        line.is_silent = True
        with client(line) as sock:
            for each in (before, sock):
                with pytest.raises(TimeoutError):
                    said(each, b"two")


def test_forgets_what_rested_and_tells_no_end(loop, echo):
    line = loop.cable(free_port(), echo)
    with client(line) as sock:
        assert said(sock, b"one") == b"one"
        line.idle_seconds = 0
        with pytest.raises(TimeoutError):
            said(sock, b"two")


def test_forgets_only_where_the_mark_was_sent(loop, echo):
    line = loop.cable(free_port(), echo, mark=b"LISTEN ")
    with client(line) as plain, client(line) as marked:
        assert said(plain, b"SELECT 1") == b"SELECT 1"
        assert said(marked, b"LISTEN a") == b"LISTEN a"
        line.idle_seconds = 0
        assert said(plain, b"SELECT 2") == b"SELECT 2"
        with pytest.raises(TimeoutError):
            said(marked, b"SELECT 2")


def client(line):
    sock = socket.create_connection(("127.0.0.1", line.port), timeout=5)
    sock.settimeout(0.3)
    return sock


def said(sock, words):
    sock.sendall(words)
    return sock.recv(100)


def is_over(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def _serve(listener):
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_say, args=[sock], daemon=True).start()


def _say(sock):
    with sock:
        try:
            while heard := sock.recv(100):
                sock.sendall(heard)
        except OSError:
            return
