"""What the pool keeps, lends, replaces and lets go of."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otpmail.smtp import backoff
from otpmail.smtp import pool as pools
from otpmail.smtp.auth import Credentials
from otpmail.smtp.errors import BrokenError, Phase, RefusedError, TimedOutError, WireError
from otpmail.smtp.handshake import Security, open_session
from otpmail.smtp.pool import Limits, Pool
from otpmail.smtp.replies import Reply
from tests.mailings import a_mail, a_pool, at, eventually, in_seconds, send
from tests.scripted import Talk, scripted
from tests.waiting import wait_until


def obedient(talk: Talk):
    talk.greet()
    while True:
        line = talk.hear()
        if line == b"QUIT":
            talk.say(b"221 bye\r\n")
            return
        if line.startswith(b"BDAT"):
            talk.hear_bytes(int(line.split()[1]))
        talk.say(b"250 ok\r\n")


def test_a_session_is_kept_and_lent_again():
    with scripted(obedient) as server, a_pool(server) as pool:
        with pool.lend(in_seconds()) as first:
            assert repr(pool) == "<Pool test: 0 idle, 1 busy, 0 opening of 8>"
        assert repr(pool) == "<Pool test: 1 idle, 0 busy, 0 opening of 8>"
        with pool.lend(in_seconds()) as second:
            assert second is first
            assert second.rested
    assert len(server.talks) == 1


def test_the_last_one_used_is_lent_first():
    with scripted(obedient) as server, a_pool(server) as pool:
        one, two = pool.take(in_seconds()), pool.take(in_seconds())
        pool.give(one)
        pool.give(two)
        assert pool.take(in_seconds()) is two
        assert pool.take(in_seconds()) is one
        pool.give(one)
        pool.give(two)


def test_it_grows_only_when_all_are_busy_and_never_past_its_size():
    with scripted(obedient) as server, a_pool(server, size=3) as pool:

        def use(_: int) -> None:
            with pool.lend(in_seconds()) as session:
                send(session, a_mail(), deadline=in_seconds())
                time.sleep(0.01)

        with ThreadPoolExecutor(12) as threads:
            list(threads.map(use, range(60)))
        assert 1 <= len(server.talks) <= 3


def test_nobody_waits_for_a_busy_session_longer_than_its_deadline():
    with scripted(obedient) as server, a_pool(server, size=1) as pool:
        with pool.lend(in_seconds()), pytest.raises(TimedOutError) as caught:
            pool.take(in_seconds(0.1))
        assert caught.value.phase is Phase.POOL
        with pool.lend(in_seconds()):
            pass


def test_a_session_that_the_server_left_is_replaced_before_use():
    def leaves_at_once(talk: Talk):
        talk.greet()
        if talk.number:
            obedient_after_greeting(talk)

    def obedient_after_greeting(talk: Talk):
        while True:
            talk.take_chunked()

    with scripted(leaves_at_once) as server, a_pool(server) as pool:
        pool.give(pool.take(in_seconds()))
        assert eventually(lambda: not pool._idle or not pool._idle[0].quiet())
        with pool.lend(in_seconds()) as session:
            assert send(session, a_mail(), deadline=in_seconds())
    assert len(server.talks) == 2


def test_a_session_that_said_goodbye_is_replaced_before_use():
    def times_out(talk: Talk):
        talk.greet()
        talk.say(b"421 4.4.2 timeout\r\n")
        talk.wait_for_end()

    with scripted(times_out) as server, a_pool(server) as pool:
        first = pool.take(in_seconds())
        pool.give(first)
        assert eventually(lambda: not first.quiet())
        with pool.lend(in_seconds()) as second:
            assert second is not first


@pytest.mark.parametrize(
    "limits", [{"max_messages": 1}, {"max_age": 0.05}, {"max_idle": 0.05}], ids=str
)
def test_an_expired_session_is_replaced(limits):
    with scripted(obedient) as server, a_pool(server, **limits) as pool:
        for _ in range(2):
            with pool.lend(in_seconds()) as session:
                send(session, a_mail(), deadline=in_seconds())
            time.sleep(0.1)
        assert len(server.talks) == 2
        assert eventually(lambda: server.talks[0].heard[-1] == b"QUIT")


def test_the_keeper_opens_ahead_and_replaces_what_is_lost():
    with scripted(obedient) as server, a_pool(server, min_warm=3) as pool:
        pool.warm()
        assert eventually(lambda: repr(pool) == "<Pool test: 3 idle, 0 busy, 0 opening of 8>")
        for talk in list(server.talks):
            talk.sock.shutdown(socket.SHUT_RDWR)
        assert eventually(lambda: len(server.talks) == 6)
        assert eventually(lambda: repr(pool) == "<Pool test: 3 idle, 0 busy, 0 opening of 8>")


def test_the_keeper_opens_several_at_the_same_time():
    all_are_there = threading.Barrier(8)

    def slow(talk: Talk):
        all_are_there.wait(60)
        obedient(talk)

    with scripted(slow) as server, a_pool(server, min_warm=8) as pool:
        pool.warm()
        assert eventually(lambda: repr(pool) == "<Pool test: 8 idle, 0 busy, 0 opening of 8>")


def test_the_keeper_lets_go_of_what_idles_and_then_rests():
    with scripted(obedient) as server, a_pool(server, max_idle=0.05) as pool:
        with pool.lend(in_seconds()), pool.lend(in_seconds()):
            pass
        assert eventually(lambda: repr(pool) == "<Pool test: 0 idle, 0 busy, 0 opening of 8>")
        assert eventually(lambda: not pool._keeper.is_alive)
        with pool.lend(in_seconds()):
            pass
        assert pool._keeper.is_alive


def test_refused_sign_in_of_the_keeper_calls_somebody_once_with_what_the_server_said(caplog):
    def refuses(_):
        reply = Reply(535, (b"5.7.8 <jos\xc3\xa9.doe@mail.example> is locked",))
        error = RefusedError("auth was refused with 535", phase=Phase.AUTH, reply=reply)
        error.hint = "the setting"
        raise error

    pool = Pool(refuses, name="test", limits=Limits(min_warm=1))
    for _ in range(2):
        pool._tend()
        pool._backoff.hurry()
    pool.close()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    told = "auth was refused with 535 (the setting); the server said '5.7.8 * is locked'"
    assert told in record.getMessage()


def test_the_keeper_backs_off_from_a_server_that_is_away(caplog):
    with scripted(obedient) as server:
        place = at(server)
    with a_pool(server, server=place, min_warm=2) as pool:
        pool.warm()
        assert eventually(lambda: pool._backoff._failures >= 2)
        with pytest.raises(WireError):
            pool.take(in_seconds())
        assert repr(pool) == "<Pool test: 0 idle, 0 busy, 0 opening of 8>"
    assert "no session could be opened ahead" in caplog.text


def test_a_failed_opening_leaves_its_place_to_the_next():
    def first_is_refused(talk: Talk):
        if talk.number == 0:
            talk.say(b"421 busy\r\n")
        else:
            obedient(talk)

    with scripted(first_is_refused) as server, a_pool(server, size=1) as pool:
        with pytest.raises(WireError):
            pool.take(in_seconds())
        with pool.lend(in_seconds()):
            pass


def test_a_use_that_was_cut_short_costs_the_session():
    with scripted(obedient) as server, a_pool(server) as pool:
        with pytest.raises(KeyboardInterrupt), pool.lend(in_seconds()):
            raise KeyboardInterrupt
        assert repr(pool) == "<Pool test: 0 idle, 0 busy, 0 opening of 8>"


def test_closing_says_goodbye_to_all_at_once_and_waits_no_longer_than_told():
    def deaf_to_goodbye(talk: Talk):
        talk.greet()
        talk.wait_for_end()

    with scripted(deaf_to_goodbye) as server, a_pool(server) as pool:
        sessions = [pool.take(in_seconds()) for _ in range(5)]
        for session in sessions:
            pool.give(session)
        start = time.monotonic()
        pool.close(within=0.2)
        assert time.monotonic() - start < 20
        assert all(session.channel.closed for session in sessions)


def test_a_session_given_back_to_a_closed_pool_is_closed():
    with scripted(obedient) as server, a_pool(server) as pool:
        with pool.lend(in_seconds()) as session:
            pool.close()
        assert session.channel.closed
        assert repr(pool) == "<Pool test: 0 idle, 0 busy, 0 opening of 8>"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_empty_and_leaves_the_parents_session_alone(localhost_certificate):
    def script(talk: Talk):
        talk.encrypt(localhost_certificate.server())
        obedient(talk)

    with scripted(script) as server:
        place = at(
            server,
            host="localhost",
            security=Security.TLS,
            context=localhost_certificate.client(),
        )
        with a_pool(server, server=place) as pool:
            with pool.lend(in_seconds()) as lent:
                idle = pool.take(in_seconds())
                pool.give(idle)
                child = os.fork()
                if child == 0:
                    signal.alarm(60)
                    empty = repr(pool) == "<Pool test: 0 idle, 0 busy, 0 opening of 8>"
                    pool.give(lent)
                    ours = pool.take(in_seconds())
                    sent = send(ours, a_mail(), deadline=in_seconds())
                    pool.close()
                    os._exit(0 if empty and sent and lent.channel.closed else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                assert send(lent, a_mail(), deadline=in_seconds())
            with pool.lend(in_seconds()) as again, pool.lend(in_seconds()) as other:
                assert {again, other} == {lent, idle}
                assert send(other, a_mail(), deadline=in_seconds())
    assert len(server.talks) == 3


def test_a_process_that_ends_says_goodbye_in_time():
    with scripted(obedient) as server:
        program = f"""
            from otpmail.smtp.deadlines import NEVER
            from otpmail.smtp.handshake import Server, open_session
            from otpmail.smtp.pool import Limits, Pool
            server = Server(host="127.0.0.1", port={server.port}, local_name="client")
            pool = Pool(lambda d: open_session(server, d), name="x", limits=Limits(min_warm=2))
            pool.give(pool.take(NEVER))
        """
        src = Path(__file__).parents[3] / "src"
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={"PYTHONPATH": str(src)},
            check=True,
            timeout=250,
        )
        assert eventually(lambda: server.talks[0].heard[-1] == b"QUIT")


def test_no_thread_of_the_pool_outlives_it():
    before = set(threading.enumerate())
    with (
        scripted(obedient) as server,
        a_pool(server, min_warm=2) as pool,
        pool.lend(in_seconds()),
    ):
        pass
    assert eventually(lambda: set(threading.enumerate()) <= before)


class PanicError(BaseException):
    """What an extension in Rust raises: no Exception."""


FOREIGN = [TypeError, ValueError, MemoryError, PanicError, GeneratorExit]
ORDERS = [KeyboardInterrupt, SystemExit]


@pytest.fixture
def quick(monkeypatch):
    """Let the keeper look and try again soon."""
    monkeypatch.setattr(backoff, "PASSING", (0.01, 0.02))
    monkeypatch.setattr(pools, "LOOK_EVERY", 0.01)


@pytest.mark.parametrize("kind", FOREIGN + ORDERS)
def test_an_opening_that_raises_anything_leaves_its_place_to_the_next(kind):
    with scripted(obedient) as server:
        place = at(server)
        errors = [kind("secret")]

        def opens(deadline):
            if errors:
                raise errors.pop()
            return open_session(place, deadline)

        pool = Pool(opens, name="test", limits=Limits(size=1, min_warm=0))
        expected = kind if kind in ORDERS else BrokenError
        with pytest.raises(expected) as caught:
            pool.take(in_seconds())
        if expected is BrokenError:
            assert str(caught.value) == f"pool failed: {kind.__name__}"
        assert repr(pool) == "<Pool test: 0 idle, 0 busy, 0 opening of 1>"
        with pool.lend(in_seconds()):
            pass
        pool.close()


@pytest.mark.parametrize("kind", FOREIGN + ORDERS)
def test_a_session_that_cannot_be_looked_at_is_let_go(kind, monkeypatch):
    with scripted(obedient) as server, a_pool(server, size=1) as pool:
        session = pool.take(in_seconds())
        pool.give(session)

        def fails() -> bool:
            raise kind

        monkeypatch.setattr(session, "quiet", fails)
        with pytest.raises(kind):
            pool.take(in_seconds())
        with pool.lend(in_seconds()) as other:
            assert other is not session


def signs_in(talk: Talk):
    talk.greet(b"250-scripted\r\n250 AUTH XOAUTH2 PLAIN\r\n")
    assert talk.hear().startswith(b"AUTH XOAUTH2 ")
    talk.say(b"235 ok\r\n")
    while True:
        talk.hear()
        talk.say(b"221 bye\r\n")


@pytest.mark.parametrize("wrong", [None, b"bytes", 7, "\ud800", *FOREIGN, *ORDERS])
@pytest.mark.usefixtures("quick")
def test_the_keeper_outlives_any_token_and_says_so_once(wrong, caplog):
    caplog.set_level("INFO", "otpmail.smtp.pool")
    asked: list[int] = []

    def token() -> str:
        asked.append(1)
        if len(asked) > 6:
            return "good"
        if isinstance(wrong, type):
            raise wrong("secret")
        return wrong

    with scripted(signs_in) as server:
        place = at(server, credentials=Credentials(username="tim", token=token))
        with a_pool(server, server=place, min_warm=2) as pool:
            pool.warm()
            wait_until(lambda: repr(pool) == "<Pool test: 2 idle, 0 busy, 0 opening of 8>")
            wait_until(lambda: len(caplog.messages) == 2)
    begins, ends = caplog.messages
    assert "no session could be opened ahead: " in begins
    assert "secret" not in begins
    assert "sessions are opened ahead again" in ends


@pytest.mark.usefixtures("quick")
def test_a_server_that_is_away_is_told_once_and_its_return_too(caplog):
    caplog.set_level("INFO", "otpmail.smtp.pool")
    hidden = threading.Event()
    hidden.set()

    def script(talk: Talk):
        if hidden.is_set():
            talk.cut()
        else:
            obedient(talk)

    with scripted(script) as server, a_pool(server, min_warm=1) as pool:
        pool.warm()
        wait_until(lambda: len(server.talks) > 5)
        assert len(caplog.messages) == 1
        hidden.clear()
        wait_until(lambda: len(caplog.messages) == 2)
        assert repr(pool) == "<Pool test: 1 idle, 0 busy, 0 opening of 8>"


def refuses_the_password(talk: Talk):
    talk.greet(b"250-scripted\r\n250 AUTH PLAIN\r\n")
    talk.hear()
    talk.say(b"535 5.7.8 no\r\n")
    talk.wait_for_end()


def offers_no_tls(talk: Talk):
    talk.greet()
    talk.wait_for_end()


@pytest.mark.parametrize(
    ("script", "options"),
    [
        (refuses_the_password, {"credentials": Credentials(username="tim", password="wrong")}),
        (offers_no_tls, {"security": Security.STARTTLS}),
    ],
)
@pytest.mark.usefixtures("quick")
def test_what_waiting_does_not_mend_is_tried_again_in_minutes(script, options):
    with scripted(script) as server:
        place = at(server, **options)
        with a_pool(server, server=place, min_warm=1) as pool:
            pool.warm()
            wait_until(lambda: pool._backoff.failing)
            assert pool._backoff.retry_at - time.monotonic() > 60
            for _ in range(20):
                pool.warm()
                time.sleep(0.01)
            assert len(server.talks) == 1
            with pytest.raises(WireError):  # a mail asks all the same
                pool.take(in_seconds())
            assert len(server.talks) == 2


@pytest.mark.usefixtures("quick")
def test_after_a_failure_one_session_is_tried_alone_until_it_works():
    all_four, the_other_three = threading.Barrier(4), threading.Barrier(3)
    first, alone, opened, under_way = [], [], [], []
    refusing = threading.Event()
    refusing.set()

    def opens(deadline):
        under_way.append(1)
        try:
            if refusing.is_set():
                if len(first) < 4:
                    first.append(1)
                    all_four.wait(15)
                else:
                    alone.append(len(under_way))
                raise BrokenError("no", phase=Phase.CONNECT)
            opened.append(len(under_way))
            if len(opened) > 1:
                the_other_three.wait(15)
            return open_session(place, deadline)
        finally:
            under_way.pop()

    with scripted(obedient) as server:
        place = at(server)
        pool = Pool(opens, name="test", limits=Limits(min_warm=4))
        pool.warm()
        wait_until(lambda: len(alone) > 3)
        refusing.clear()
        wait_until(lambda: repr(pool) == "<Pool test: 4 idle, 0 busy, 0 opening of 8>")
        pool.close()
    assert set(alone) == {1}
    assert opened[0] == 1


FAMINE = """
import os, resource, sys
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.handshake import Server, open_session
from otpmail.smtp.pool import Limits, Pool
from tests.waiting import wait_until

server = Server(host="localhost", port=int(sys.argv[1]), local_name="client")
pool = Pool(lambda d: open_session(server, d), name="x", limits=Limits(min_warm=3))
open_session(server, Deadline.after(5)).close()  # imports all, while files can be read
if as_root := os.getuid() == 0:
    os.setuid(61234)  # RLIMIT_NPROC does not bind root; nobody else is this user
_, hard = resource.getrlimit(resource.RLIMIT_NPROC)


def allow(threads):
    resource.setrlimit(resource.RLIMIT_NPROC, (threads, hard))


def are_kept():
    pool.warm()
    return sum(session.usable for session in pool._idle) == 3


allow(1)
pool.warm()
pool.give(pool.take(Deadline.after(5)))
print(repr(pool), pool._keeper.is_alive)
if as_root:
    allow(2)  # the keeper finds a thread, and its openings none
    wait_until(are_kept)
    for session in pool._idle:
        session.close()
allow(hard)
wait_until(are_kept)
print(repr(pool), pool._keeper.is_alive)
"""


def test_without_threads_mail_is_sent_and_the_pool_recovers_with_them(tmp_path):
    """Real famine: the limit of the process's user on threads."""
    root = Path(__file__).parents[3]
    with scripted(obedient) as server:
        done = subprocess.run(
            [sys.executable, "-c", FAMINE, str(server.port)],
            env={"PYTHONPATH": f"{root / 'src'}:{root}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout.splitlines() == [
        "<Pool x: 1 idle, 0 busy, 0 opening of 8> False",
        "<Pool x: 3 idle, 0 busy, 0 opening of 8> True",
    ], done.stderr


def test_one_that_somebody_is_opening_is_not_there_yet(caplog):
    """Each probe of an outage had it told that sessions are opened again, and then that not."""
    caplog.set_level("INFO", "otpmail.smtp.pool")
    opening, let_go = threading.Event(), threading.Event()

    def fails(deadline):
        if threading.current_thread().name == "probe":
            opening.set()
            let_go.wait(60)
        raise BrokenError("nobody is there", phase=Phase.CONNECT)

    def ask():
        with pytest.raises(WireError):
            pool.take(in_seconds())

    pool = Pool(fails, name="test", limits=Limits(min_warm=1))
    pool._tend()
    for _ in range(3):
        probe = threading.Thread(target=ask, name="probe")
        probe.start()
        assert opening.wait(60)
        pool._tend()
        let_go.set()
        probe.join()
        opening.clear()
        let_go.clear()
    pool.close()
    assert len(caplog.messages) == 1
    assert "no session could be opened ahead" in caplog.messages[0]
    assert pool._backoff.failing
