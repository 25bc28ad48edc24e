"""A host with several addresses, some of which swallow, refuse or lag."""

import contextlib
import errno
import gc
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.mail import EmailMessage

from otpmail.backends import smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Kind
from otpmail.smtp import connecting, connection_attempts
from otpmail.smtp.connecting import connect
from otpmail.smtp.deadlines import NEVER
from otpmail.smtp.errors import BrokenError, Phase, TimedOutError
from tests.mailings import in_seconds
from tests.scripted import Talk, scripted

HOST = "mail.example.org"
ANSWERS, SWALLOWS, SWALLOWS_TOO, REFUSES = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    connecting.memory.clear()
    yield
    connecting.memory.clear()
    smtp.close_pools()


@pytest.fixture(autouse=True)
def _no_socket_is_left() -> Iterator[None]:
    """Whatever happens: a test's own are closed before this looks."""
    gc.collect()
    before = sockets()
    yield
    assert sockets() == before


def sockets() -> set[str]:
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(file.readlink()))
    return {name for name in found if name.startswith("socket:")}


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which ANSWERS listens, SWALLOWS and SWALLOWS_TOO are deaf, and REFUSES is shut."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((ANSWERS, 0)))
        number = listener.getsockname()[1]
        for address in (SWALLOWS, SWALLOWS_TOO):
            stack.enter_context(swallowing(address, number))
        yield number


@contextlib.contextmanager
def swallowing(address: str, port: int) -> Iterator[None]:
    """Listen, and have a queue so full that the kernel drops each further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        unanswered = 0
        while unanswered < 3:
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address, port))
            poll = select.poll()
            poll.register(client, select.POLLOUT)
            unanswered = 0 if poll.poll(50) else unanswered + 1
            assert client.fileno() < 500, "the kernel takes whatever comes"
        yield


@pytest.fixture
def resolves(monkeypatch):
    """Let HOST have these addresses."""

    def set_(*addresses: str) -> None:
        def getaddrinfo(host, port, *_, **__):
            assert host == HOST
            return [
                (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "",
                 (address, port, 0, 0) if ":" in address else (address, port))
                for address in addresses
            ]  # fmt: skip

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return set_


@pytest.fixture
def never_next(monkeypatch):
    """Let no address be tried because the one before takes long."""
    monkeypatch.setattr(connection_attempts, "NEXT_AFTER", 3600.0)


def peer(port: int, *, limit: float = 30.0) -> str:
    with connect(HOST, port, limit=limit, deadline=NEVER) as sock:
        return sock.getpeername()[0]


def order(port: int, *addresses: str) -> list[str]:
    found = [
        connection_attempts.Address(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in addresses
    ]
    return [str(address) for address in connecting.memory.sort(HOST, port, found)]


@pytest.mark.parametrize(
    "addresses",
    [
        (ANSWERS,),
        (SWALLOWS, ANSWERS),
        (SWALLOWS, SWALLOWS_TOO, ANSWERS),
        (SWALLOWS, REFUSES, ANSWERS),
        (REFUSES, SWALLOWS, ANSWERS),
        ("2001:db8::1", ANSWERS),
        ("192.0.2.1", ANSWERS),
    ],
    ids=str,
)
def test_a_host_is_reached_by_the_one_address_that_answers(addresses, port, resolves):
    resolves(*addresses)
    start = time.monotonic()
    assert peer(port) == ANSWERS
    assert time.monotonic() - start < 10  # of 30
    assert order(port, *addresses)[0] == ANSWERS


def test_what_answered_is_tried_first_the_next_time(port, resolves, monkeypatch):
    resolves(SWALLOWS, REFUSES, ANSWERS)
    assert peer(port) == ANSWERS
    assert order(port, SWALLOWS, REFUSES, ANSWERS) == [ANSWERS, SWALLOWS, REFUSES]
    monkeypatch.setattr(connection_attempts, "NEXT_AFTER", 3600.0)
    assert peer(port) == ANSWERS
    assert order(port, SWALLOWS, REFUSES, "127.0.0.9") == ["127.0.0.9", SWALLOWS, REFUSES]


@pytest.mark.usefixtures("never_next")
def test_after_a_refusal_the_next_is_tried_at_once(port, resolves):
    resolves(REFUSES, "127.0.0.5", "127.0.0.6", ANSWERS)
    assert peer(port) == ANSWERS


@pytest.mark.usefixtures("never_next")
def test_an_address_of_a_family_that_is_not_here_is_passed_over(port, monkeypatch):
    here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ANSWERS, port))
    nowhere = (socket.AF_APPLETALK, socket.SOCK_STREAM, 6, "", (ANSWERS, port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [nowhere, here])
    assert peer(port) == ANSWERS


def test_the_first_to_answer_is_taken_and_no_other_is_asked(port, resolves):
    resolves(ANSWERS, SWALLOWS)
    with socket.create_server(("127.0.0.7", port)) as second:
        resolves(ANSWERS, "127.0.0.7")
        assert peer(port) == ANSWERS
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.accept()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_the_other_family_is_reached_too(resolves):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("needs ::1")
    with listener, swallowing(SWALLOWS, listener.getsockname()[1]):
        resolves(SWALLOWS, SWALLOWS_TOO, "::1")
        assert peer(listener.getsockname()[1]) == "::1"


def test_when_all_refuse_the_error_tells_of_each(port, resolves):
    resolves(REFUSES, "127.0.0.5")
    with pytest.raises(BrokenError) as caught:
        peer(port)
    assert not isinstance(caught.value, TimedOutError)
    assert caught.value.phase is Phase.CONNECT
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert str(caught.value).count("Connection refused") == 2
    assert REFUSES in str(caught.value)


def test_when_all_swallow_each_has_its_turn_within_the_limit(port, resolves):
    resolves(SWALLOWS, SWALLOWS_TOO, REFUSES)
    start = time.monotonic()
    with pytest.raises(TimedOutError) as caught:
        peer(port, limit=0.3)
    assert time.monotonic() - start < 5
    assert caught.value.phase is Phase.CONNECT
    assert isinstance(caught.value.__cause__, TimeoutError)
    words = str(caught.value)
    assert f"{SWALLOWS}: no answer" in words
    assert f"{SWALLOWS_TOO}: no answer" in words
    assert f"{REFUSES}: Connection refused" in words


def test_the_callers_deadline_holds_as_well(port, resolves):
    resolves(SWALLOWS)
    with pytest.raises(TimedOutError):
        connect(HOST, port, limit=3600, deadline=in_seconds(0.1))


@pytest.mark.usefixtures("never_next")
def test_a_caller_in_a_hurry_tells_nothing_of_an_address(port, resolves):
    resolves(SWALLOWS)
    with pytest.raises(TimedOutError):
        peer(port, limit=0.01)
    assert order(port, SWALLOWS, ANSWERS) == [SWALLOWS, ANSWERS]


def test_a_name_without_an_address_is_told(port, resolves):
    resolves()
    with pytest.raises(BrokenError, match="no address"):
        peer(port)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "not known"),
        (UnicodeError("label too long"), "no valid name"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OverflowError("port"), "OverflowError"),
    ],
)
def test_a_look_up_that_fails_is_told(error, words, monkeypatch):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(BrokenError, match=words) as caught:
        connect(HOST, 25, limit=5, deadline=NEVER)
    assert caught.value.phase is Phase.CONNECT


def test_a_look_up_that_hangs_holds_nobody_beyond_the_limit(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(15) and [])
    for limit, deadline in ((0.05, NEVER), (3600, in_seconds(0.05))):
        with pytest.raises(TimedOutError) as caught:
            connect(HOST, 25, limit=limit, deadline=deadline)
        assert caught.value.phase is Phase.CONNECT
    answered.set()


def broken_poll(error: BaseException):
    class Poll:
        def register(self, *_):
            pass

        def poll(self, *_):
            raise error

    return Poll


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OSError(errno.EIO, "x")])
def test_no_socket_is_left_whatever_is_raised(error, port, resolves, monkeypatch):
    resolves(SWALLOWS, ANSWERS)
    monkeypatch.setattr(select, "poll", broken_poll(error))
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else BrokenError):
        peer(port)


@pytest.mark.parametrize("where", [("127.0.0.1", 65536), ("127.0.0.1", -1), ("not an address", 1)])
def test_no_socket_is_left_by_an_address_that_is_none(where, monkeypatch):
    found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", where)
    resolved = [found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
    with pytest.raises(BrokenError):
        connect(HOST, 25, limit=1, deadline=NEVER)


def test_without_a_file_left_it_is_told_and_works_again_after(port, resolves):
    resolves(ANSWERS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
    files = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                files.append(Path("/dev/null").open("rb"))  # noqa: SIM115 - closed below
        with pytest.raises(BrokenError, match="Too many open files"):
            peer(port, limit=3600)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for file in files:
            file.close()
    assert peer(port) == ANSWERS


def test_no_more_addresses_are_tried_than_may_hold_a_socket(port, resolves, monkeypatch):
    monkeypatch.setattr(connection_attempts, "MAX_ADDRESSES", 2)
    resolves(REFUSES, REFUSES, ANSWERS)
    with pytest.raises(BrokenError):
        peer(port)


def test_a_mail_leaves_by_the_second_address_and_the_next_session_goes_there_at_once(
    resolves, monkeypatch
):
    def script(talk: Talk):
        talk.greet()
        while True:
            talk.take_chunked()

    mail = EmailMessage("Mail", "Body", "alice@example.org", ["bob@example.org"])
    with scripted(script) as server, swallowing(SWALLOWS, server.port):
        resolves(SWALLOWS, server.host)
        options = {"host": HOST, "port": server.port, "min_warm": 0, "max_messages": 1}
        backend = EmailBackend(alias="default", timeout=30, **options)
        (outcome,) = backend.send_outcomes([mail], timeout=15)
        assert outcome.kind is Kind.ACCEPTED
        monkeypatch.setattr(connection_attempts, "NEXT_AFTER", 3600.0)
        (outcome,) = backend.send_outcomes([mail], timeout=15)
        assert outcome.kind is Kind.ACCEPTED
        smtp.close_pools()
