"""A token that was refused rests; whoever has it, and the next one, is asked with at once."""

import base64
import tempfile

import pytest

from otpmail.backends import smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Blame, Kind
from otpmail.smtp import sign_in_backoff
from otpmail.smtp.backoff import JITTER, LASTING
from tests.ruled import Ruled, Turn
from tests.scripted import OFFER_ALL, ScriptedServer, scripted

OFFER = OFFER_ALL.replace(b"250-scripted", b"250-scripted\r\n250-AUTH XOAUTH2")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield sign_in_backoff.folder()
    smtp.close_pools()


class Guarded(Ruled):
    """Takes the tokens that are ``good``; ``asked`` holds those that it was shown."""

    def __init__(self, *good: str, reply: bytes = b"535 5.7.8 expired") -> None:
        super().__init__(self.guard, OFFER)
        self.good, self.reply = good, reply
        self.asked: list[str] = []

    def guard(self, turn: Turn) -> bytes | None:
        if turn.verb != "AUTH":
            return None
        said = base64.b64decode(turn.line.split()[2]).decode()
        self.asked.append(said.partition("Bearer ")[2].rstrip("\1"))
        return b"235 ok" if self.asked[-1] in self.good else self.reply


def a_backend(server: ScriptedServer, *tokens: str, **options) -> EmailBackend:
    """Its callable gives each of the tokens once, and the last one from then on."""
    left = list(tokens)
    options = {"min_warm": 0, "timeout": 60, "username": "tim"} | options
    return EmailBackend(
        alias="default",
        host=server.host,
        port=server.port,
        token=lambda: left.pop(0) if len(left) > 1 else left[0],
        **options,
    )


def test_a_stale_token_gives_way_to_the_next_in_the_same_opening():
    guarded = Guarded("good")
    with scripted(guarded) as server:
        assert a_backend(server, "stale", "good").reach(timeout=60) is None
    assert guarded.asked == ["stale", "good"]


def test_a_token_that_stays_the_same_is_shown_once_and_rests():
    guarded = Guarded()
    with scripted(guarded) as server:
        backend = a_backend(server, "stale")
        told = [backend.reach(timeout=60) for _ in range(5)]
    assert guarded.asked == ["stale"]
    assert {(outcome.code, outcome.blame) for outcome in told} == {(535, Blame.ROUTE)}
    assert all("not asked again" in outcome.reply for outcome in told[1:])
    assert told[1].retry_after_seconds <= LASTING[0] * (1 + JITTER)


def test_whatever_was_refused_a_token_that_is_new_is_shown_at_once():
    guarded = Guarded("good")
    with scripted(guarded) as server:
        backend = a_backend(server, "old", "older", "oldest", "good")
        assert backend.reach(timeout=60).code == 535
        assert backend.reach(timeout=60) is None
    assert guarded.asked == ["old", "older", "oldest", "good"]


def test_another_process_is_not_told_of_a_token_that_it_has_not():
    """Another pool stands for it: it reads the same file."""
    guarded = Guarded("good")
    with scripted(guarded) as server:
        assert a_backend(server, "stale").reach(timeout=60).code == 535
        assert a_backend(server, "good").reach(timeout=60) is None
        assert a_backend(server, "stale").reach(timeout=60).code == 535
    assert guarded.asked == ["stale", "good"]


@pytest.mark.parametrize("reply", [b"454 4.7.0 later", b"421 4.7.0 busy"])
def test_a_refusal_for_now_neither_rests_nor_asks_for_another_token(reply):
    guarded = Guarded(reply=reply)
    with scripted(guarded) as server:
        backend = a_backend(server, "one", "two", "three")
        assert [backend.reach(timeout=60).kind for _ in range(2)] == [Kind.TRANSIENT] * 2
    assert guarded.asked == ["one", "two"]


def test_a_token_is_shown_again_when_its_rest_is_over(clock):
    guarded = Guarded()
    with scripted(guarded) as server:
        backend = a_backend(server, "stale")
        backend.reach(timeout=60)
        clock.move(LASTING[0] * (1 + JITTER))
        guarded.good = ("stale",)
        assert backend.reach(timeout=60) is None
    assert guarded.asked == ["stale", "stale"]


def test_without_a_folder_a_process_minds_its_own_token(folder):
    folder.chmod(0o777)
    guarded = Guarded("good")
    with scripted(guarded) as server:
        backend = a_backend(server, "stale", "stale", "stale", "stale", "good")
        assert [backend.reach(timeout=60).code for _ in range(2)] == [535, 535]
        assert backend.reach(timeout=60) is None
    assert guarded.asked == ["stale", "good"]


def test_no_file_holds_a_token_and_there_are_no_more_however_many_there_were(folder):
    with scripted(Guarded()) as server:
        backend = a_backend(server, *(f"secret-{number}" for number in range(9)))
        for _ in range(4):
            backend.reach(timeout=60)
    rest, turn = sorted(folder.iterdir())
    assert turn.name == f"{rest.name}.turn"
    assert not any(b"secret" in file.read_bytes() for file in (rest, turn))


NAMES = [
    ({"username": b"tim", "password": b"tanstaaf"}, b"\0tim\0tanstaaf"),
    ({"username": 7, "password": 42}, b"\x007\x0042"),
    ({"username": "jürgen", "password": "ü".encode()}, "\0jürgen\0ü".encode()),
]


@pytest.mark.parametrize(("options", "said"), NAMES)
@pytest.mark.parametrize("offered", [b"PLAIN", b"CRAM-MD5 PLAIN"])
def test_a_name_of_bytes_or_a_number_is_made_text(options, said, offered):
    def rule(turn: Turn) -> bytes | None:
        if turn.verb != "AUTH":
            return None
        if b"CRAM" in turn.line:
            return b"535 no"
        heard.append(base64.b64decode(turn.line.split()[2]))
        return b"235 ok"

    heard: list[bytes] = []
    with scripted(Ruled(rule, OFFER.replace(b"XOAUTH2", offered))) as server:
        backend = EmailBackend(
            alias="default", host=server.host, port=server.port, min_warm=0, **options
        )
        assert backend.reach(timeout=60) is None
    assert heard == [said]


@pytest.mark.parametrize("option", ["username", "password"])
def test_bytes_that_are_no_text_are_wrong_options(option):
    with pytest.raises(Exception, match=f"{option}.*UTF-8") as caught:
        EmailBackend(alias="default", host="mx.example.org", **{option: b"\xff"})
    assert caught.type.__name__ in {"InvalidMailer", "ImproperlyConfigured"}
