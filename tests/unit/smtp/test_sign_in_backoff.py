"""A wrong password is not hammered, however many processes of a host have it."""

import os
import tempfile
import threading
from functools import partial

import pytest

from otpmail.smtp import sign_in_backoff
from otpmail.smtp.backoff import JITTER, LASTING
from otpmail.smtp.deadlines import NEVER, Deadline
from otpmail.smtp.errors import BrokenError, Phase, RefusedError, TimedOutError, WireError
from otpmail.smtp.replies import Reply
from otpmail.smtp.sign_in_backoff import SignInBackoff
from tests.crowd import at_once

HOUR = 3600


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"otpmail-{os.getuid()}"


class Server:
    """Counts sign-ins, and refuses them while it is told to."""

    def __init__(self):
        self.asked = 0
        self.error = refused(535, "5.7.8 wrong password")

    def __call__(self, deadline):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return "a session"


def refused(code, text, phase=Phase.AUTH):
    return RefusedError("no", phase=phase, reply=Reply(code, (text.encode(),)))


def ask(process):
    try:
        return process(NEVER)
    except WireError as error:
        return error


def test_two_processes_that_ask_all_the_time_sign_in_ten_times_in_two_hours(clock):
    """Their pools' keepers and probes signed in 82 times in 32 seconds."""
    server = Server()
    processes = [SignInBackoff(server, "me") for _ in range(2)]
    asked = []
    for second in range(0, 6 * HOUR, 10):
        if second % HOUR == 0:
            asked.append(server.asked)
        for process in processes:
            ask(process)
        clock.move(10)
    assert asked[1] <= 8
    assert asked[2] <= 13
    assert server.asked <= 6 * HOUR / (LASTING[1] * (1 - JITTER)) + 8
    assert server.asked >= 6 * HOUR / (LASTING[1] * (1 + JITTER))


def test_other_process_is_told_what_the_server_said_and_for_how_long_it_stands(clock):
    server = Server()
    ask(SignInBackoff(server, "me"))
    told = ask(SignInBackoff(server, "me"))
    assert server.asked == 1
    assert (told.phase, told.reply.code) == (Phase.AUTH, 535)
    assert "5.7.8 wrong password" in told.reply.text
    assert "username/EMAIL_HOST_USER and password/EMAIL_HOST_PASSWORD" in told.hint
    assert f"not asked again for {told.retry_after:.0f} s" in told.reply.text
    assert (1 - JITTER) * LASTING[0] <= told.retry_after <= (1 + JITTER) * LASTING[0]


@pytest.mark.parametrize("processes", [1, 20])
def test_wrong_password_is_asked_with_once_though_all_ask_at_once(processes):
    """There were 18 sign-ins in 8 sessions before the first rest was written."""
    server = Server()
    answered = threading.Event()

    def slowly(deadline):
        answered.wait(0.2)
        return server(deadline)

    asking = [SignInBackoff(slowly, "me") for _ in range(processes)]
    told = at_once(*[partial(ask, asking[number % processes]) for number in range(20)])
    assert {error.reply.code for error in told} == {535}
    assert server.asked == 1


def test_nobody_waits_once_a_sign_in_was_taken():
    server = Server()
    server.error = None
    ask(SignInBackoff(server, "me"))
    together = threading.Barrier(3)

    def meet(deadline):
        together.wait(30)
        return server(deadline)

    assert at_once(*[partial(ask, SignInBackoff(meet, "me"))] * 3) == ["a session"] * 3


def test_wait_for_the_sign_in_of_another_is_bounded():
    begun, answered = threading.Event(), threading.Event()

    def hang(deadline):
        begun.set()
        answered.wait(30)
        return "a session"

    first = threading.Thread(target=SignInBackoff(hang, "me"), args=[NEVER])
    first.start()
    begun.wait(30)
    with pytest.raises(TimedOutError):
        SignInBackoff(hang, "me")(Deadline.after(0.1))
    answered.set()
    first.join()


def test_new_password_is_asked_with_at_once():
    server = Server()
    ask(SignInBackoff(server, "wrong"))
    server.error = None
    assert ask(SignInBackoff(server, "right")) == "a session"


def test_sign_in_that_is_taken_ends_the_rest_for_all(clock):
    server = Server()
    one, other = SignInBackoff(server, "me"), SignInBackoff(server, "me")
    ask(one)
    clock.move(LASTING[0] * (1 + JITTER))
    server.error = None
    assert ask(one) == ask(other) == "a session"
    server.error = refused(535, "again")
    ask(one)
    assert ask(other).retry_after <= LASTING[0] * (1 + JITTER)  # its first pause


@pytest.mark.parametrize(
    "error",
    [
        BrokenError("refused", phase=Phase.CONNECT),
        refused(454, "later"),
        refused(421, "busy", Phase.BANNER),
        refused(554, "no", Phase.BANNER),
        RuntimeError("?"),
    ],
    ids=repr,
)
def test_other_faults_do_not_rest(error):
    server = Server()
    server.error = error
    process = SignInBackoff(server, "me")
    for _ in range(3):
        with pytest.raises(type(error)):
            process(NEVER)
    assert server.asked == 3


def test_line_that_breaks_after_a_rest_begins_no_other(clock):
    server = Server()
    process = SignInBackoff(server, "me")
    ask(process)
    clock.move(LASTING[0] * (1 + JITTER))
    server.error = BrokenError("refused", phase=Phase.CONNECT)
    ask(process)
    server.error = None
    assert ask(process) == "a session"


def test_clock_that_was_set_back_prolongs_no_rest(clock):
    server = Server()
    process = SignInBackoff(server, "me")
    ask(process)
    clock.move(-240 * HOUR)
    assert ask(process).retry_after <= LASTING[1] * (1 + JITTER)


def others(path):
    path.mkdir()
    path.chmod(0o755)  # whatever the umask


def link(path):
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("spoil", [others, link, lambda path: path.write_bytes(b"")])
def test_folder_that_others_may_write_is_not_used(folder, spoil):
    spoil(folder)
    server = Server()
    process = SignInBackoff(server, "me")
    for _ in range(3):
        assert ask(process).reply.code == 535
    assert server.asked == 1
    ask(SignInBackoff(server, "me"))
    assert server.asked == 2  # each process minds itself


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"until": "x"}', b"\xff" * 9])
def test_file_that_makes_no_sense_is_none(folder, content):
    folder.mkdir(mode=0o700)
    (folder / "me").write_bytes(content)
    server = Server()
    server.error = None
    assert ask(SignInBackoff(server, "me")) == "a session"


def test_file_is_its_users_alone(folder):
    ask(SignInBackoff(Server(), "me"))
    assert (folder / "me").stat().st_mode & 0o777 == 0o600
    assert sign_in_backoff.folder().stat().st_mode & 0o777 == 0o700
