"""What TCP tells of a connection; how it is when the path is cut is shown with a real cut."""

import socket
import sys

import pytest

from otpmail.smtp import tcp_path
from otpmail.smtp.connecting import HURRIED_FOR_SECONDS, HURRIED_SECONDS, Memory
from otpmail.smtp.dialogue import Flight
from otpmail.smtp.errors import BrokenError, Phase, SilentPathError, Written
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")


@pytest.fixture
def ends():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        with near, far:
            yield near, far


def test_octets_that_arrived_are_counted_whether_they_are_read_or_not(ends):
    near, _ = ends
    before = tcp_path.look(near)
    near.sendall(b"x" * 1000)
    wait_until(lambda: tcp_path.look(near).queued == 0)
    after = tcp_path.look(near)
    assert after.acknowledged - before.acknowledged == 1000
    assert (after.in_flight, after.lost_probes) == (0, 0)


def test_who_does_not_read_is_not_silent(ends):
    near, _ = ends
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            near.send(b"x" * 100_000)
    assert tcp_path.TcpPath().arrived(near, 100_000) is None


def test_the_system_looks_after_a_connection_that_idles(ends):
    near, _ = ends
    tcp_path.keep(near, unanswered_seconds=12)
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 30
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 12_000


def test_a_socket_that_is_closed_tells_nothing():
    closed = socket.socket()
    closed.close()
    assert tcp_path.look(closed) is None
    tcp_path.keep(closed, unanswered_seconds=1)


CHUNKED = Flight(bytes(500), (Phase.MAIL, Phase.RCPT, Phase.BODY), body=400)


@pytest.mark.parametrize(
    ("arrived", "count", "written"),
    [
        (1000, 1500, Written.NOTHING),  # nothing since the write before
        (1040, 1500, Written.NOTHING),  # some of the envelope
        (1100, 1500, Written.NOTHING),  # all of it
        (1101, 1500, Written.WHOLE),  # an octet of the body
        (1500, 1500, Written.WHOLE),
        (1101, 1400, Written.PART),  # its end was never handed to the system
        (1050, 1400, Written.NOTHING),
    ],
)
def test_a_mail_is_in_doubt_only_if_an_octet_of_its_body_arrived(arrived, count, written):
    error = SilentPathError(arrived, phase=Phase.BODY)
    assert CHUNKED.written(1000, count, error) is written


def test_another_break_leaves_what_was_written_in_doubt():
    """A server may take a mail and be lost before its system acknowledges it."""
    error = BrokenError("x", phase=Phase.BODY)
    assert CHUNKED.written(1000, 1500, error) is Written.WHOLE
    assert CHUNKED.written(1000, 1499, error) is Written.PART
    assert CHUNKED.written(1000, 1000, error) is Written.NOTHING


def test_what_does_not_end_a_mail_leaves_no_doubt():
    envelope = Flight(bytes(100), (Phase.MAIL, Phase.RCPT, Phase.DATA))
    error = BrokenError("x", phase=Phase.DATA)
    assert envelope.written(1000, 1100, error) is Written.NOTHING


def test_right_after_a_lost_connection_the_next_one_is_not_waited_for_long(clock):
    memory = Memory(clock.monotonic)
    assert memory.limit("mx.example.org", 25, 10) == 10
    memory.lost("mx.example.org", 25)
    assert memory.limit("mx.example.org", 25, 10) == HURRIED_SECONDS
    assert memory.limit("mx.example.org", 25, 0.1) == 0.1
    assert memory.limit("mx.example.org", 587, 10) == 10
    clock.move(HURRIED_FOR_SECONDS + 0.25)
    assert memory.limit("mx.example.org", 25, 10) == 10
