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

from otpmail.wire.errors import Phase, TimedOutError, WireError
from otpmail.wire.opening import Security
from otpmail.wire.sending import send
from tests.mailings import a_mail, a_pool, at, eventually, in_seconds
from tests.scripted import Talk, scripted


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
        assert eventually(lambda: pool._keeper is None)
        with pool.lend(in_seconds()):
            pass
        assert pool._keeper is not None


def test_the_keeper_backs_off_from_a_server_that_is_away(caplog):
    with scripted(obedient) as server:
        place = at(server)
    with a_pool(server, server=place, min_warm=2) as pool:
        pool.warm()
        assert eventually(lambda: pool._failures >= 2)
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
            from otpmail.wire.deadlines import NEVER
            from otpmail.wire.opening import Server, open_session
            from otpmail.wire.pool import Limits, Pool
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
