"""Which mails go on over another session, and which must not."""

import pytest

from otpmail.smtp.client import deliver
from otpmail.smtp.errors import BrokenError, RefusedError, WireError
from otpmail.smtp.mails import Sent
from otpmail.smtp.modes import Mode
from tests.mailings import a_mail, a_pool, at, in_seconds
from tests.scripted import OFFER_NOTHING, OFFER_PIPELINING, Talk, scripted


def ends(pool, *mails, **options):
    return deliver(pool, mails or [a_mail()], deadline=in_seconds(), **options)


def served_once_then(last_words):
    """Let the first connection take a mail and end with some words; later ones take all."""

    def script(talk: Talk):
        talk.greet(OFFER_PIPELINING)
        while True:
            talk.take_stepwise()
            if talk.number == 0:
                last_words(talk)
                return

    return script


def hears_then_cuts(talk: Talk):
    talk.hear()
    talk.cut()


def hears_then_says_421(talk: Talk):
    talk.hear()
    talk.say(b"421 4.4.2 idle for too long\r\n")


@pytest.mark.parametrize("last_words", [hears_then_cuts, hears_then_says_421])
def test_a_session_that_died_idle_is_replaced_and_the_mail_goes_on(last_words):
    with scripted(served_once_then(last_words)) as server, a_pool(server) as pool:
        assert isinstance(ends(pool)[0], Sent)
        assert isinstance(ends(pool)[0], Sent)
        assert repr(pool) == "<Pool test: 1 idle, 0 busy, 0 opening of 8>"
    assert len(server.talks) == 2


def test_a_mail_written_whole_into_a_session_that_died_idle_is_in_doubt_and_not_repeated():
    def script(talk: Talk):
        talk.greet()
        talk.take_chunked()
        talk.hear(), talk.hear()
        talk.hear_bytes(int(talk.hear().split()[1]))
        talk.cut()

    with scripted(script) as server, a_pool(server) as pool:
        assert isinstance(ends(pool)[0], Sent)
        (end,) = ends(pool)
    assert isinstance(end, WireError)
    assert end.in_doubt
    assert len(server.talks) == 1


def test_a_new_session_that_dies_is_not_replaced():
    def script(talk: Talk):
        talk.greet(OFFER_PIPELINING)
        talk.hear()
        talk.cut()

    with scripted(script) as server, a_pool(server) as pool:
        (end,) = ends(pool)
    assert isinstance(end, BrokenError)
    assert not end.in_doubt
    assert len(server.talks) == 1


def test_a_server_that_always_says_421_is_not_asked_forever():
    def script(talk: Talk):
        talk.greet()
        talk.hear()
        talk.say(b"421 no\r\n")

    with scripted(script) as server, a_pool(server) as pool:
        (end,) = ends(pool)
    assert isinstance(end, RefusedError)
    assert len(server.talks) == 1


def test_a_mail_refused_by_a_server_that_misbehaves_goes_on_the_plain_way():
    def script(talk: Talk):
        if talk.number:
            talk.greet(OFFER_NOTHING)
            talk.take_stepwise()
        talk.greet()
        talk.hear_bytes(50)
        talk.say(b"250 ok\r\n503 bad\r\n503 bad\r\n")
        talk.wait_for_end()

    with scripted(script) as server, a_pool(server) as pool:
        assert isinstance(ends(pool)[0], Sent)
    assert len(server.talks) == 2


def test_mails_not_yet_written_when_a_window_breaks_go_on_over_another_session():
    taken: list[bytes] = []

    def script(talk: Talk):
        talk.greet()
        for _ in range(2 if talk.number == 0 else 9):
            while not (line := talk.hear()).startswith(b"BDAT"):
                talk.say(b"250 ok\r\n")
            taken.append(talk.hear_bytes(int(line.split()[1])))
            talk.say(b"250 taken\r\n")
        talk.hear()
        talk.cut()

    with scripted(script) as server, a_pool(server) as pool:
        results = ends(pool, *(a_mail(number) for number in range(8)), window=2)
    doubtful = sum(isinstance(end, WireError) for end in results)
    assert all(end.in_doubt for end in results if isinstance(end, WireError))
    assert doubtful <= 2
    assert len(taken) == len(set(taken)) == 8 - doubtful
    assert len(server.talks) == 2


def test_a_session_carries_no_more_mails_than_it_may():
    def script(talk: Talk):
        talk.greet()
        for _ in range(3):
            talk.take_chunked()
        talk.wait_for_end()

    with scripted(script) as server, a_pool(server, max_messages=3) as pool:
        results = ends(pool, *(a_mail(number) for number in range(8)))
    assert all(isinstance(end, Sent) for end in results)
    assert len(server.talks) == 3


def test_a_server_that_cannot_be_reached_fails_all_mails_at_once():
    with scripted(Talk.wait_for_end) as server:
        place = at(server, ceiling=Mode.CHUNKED)
    with a_pool(server, server=place) as pool:
        results = ends(pool, a_mail(1), a_mail(2))
    assert all(isinstance(end, BrokenError) and not end.in_doubt for end in results)


def test_a_mail_not_wanted_any_more_has_no_end():
    def script(talk: Talk):
        talk.greet()
        talk.wait_for_end()

    with scripted(script) as server, a_pool(server) as pool:
        assert ends(pool, still_valid=lambda _: False) == [None]
