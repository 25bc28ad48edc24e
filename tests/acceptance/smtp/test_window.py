"""Several mails in flight on one session."""

import pytest

from otpmail.smtp.errors import (
    InvalidArgumentError,
    RecipientsRefusedError,
    RefusedError,
    TiredError,
    WireError,
)
from otpmail.smtp.mails import Sent
from otpmail.smtp.sending import send_all
from tests.mailings import a_mail, a_session, in_seconds
from tests.scripted import OFFER_PIPELINING, Talk, scripted


def sent_all(session, mails, window=4, **options):
    return send_all(session, mails, window=window, deadline=in_seconds(), **options)


OK = b"250 reset\r\n250 ok\r\n250 ok\r\n250 taken\r\n"


def test_no_more_mails_than_the_window_are_unanswered():
    bodies: list[bytes] = []

    def script(talk: Talk):
        talk.greet()
        bodies.extend(talk.hear_chunked() for _ in range(3))
        talk.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            talk.sock.recv(1)
        talk.sock.settimeout(5)
        talk.say(OK * 3)
        bodies.extend(talk.hear_chunked() for _ in range(2))
        talk.say(OK * 2)
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        ends = sent_all(session, [a_mail(number) for number in range(5)], window=3)
    assert all(isinstance(end, Sent) for end in ends)
    assert len(bodies) == 5


def test_each_mail_has_its_own_end_in_its_own_place():
    bodies: list[bytes] = []
    replies = [
        OK,
        b"250 reset\r\n250 ok\r\n550 nobody\r\n554 none\r\n",
        b"250 reset\r\n550 no\r\n503 no\r\n503 no\r\n",
        b"250 reset\r\n250 ok\r\n250 ok\r\n452 full\r\n",
        OK,
    ]

    def script(talk: Talk):
        talk.greet()
        for reply in replies:
            bodies.append(talk.hear_chunked())
            talk.say(reply)
        talk.wait_for_end()

    mails = [a_mail(number) for number in range(5)]
    mails.insert(2, a_mail(to=("no\r\nbody",)))
    with scripted(script) as server, a_session(server) as session:
        ends = sent_all(session, mails, window=10)
        assert not session.usable  # it is not kept after a refused MAIL
    kinds = [Sent, RecipientsRefusedError, InvalidArgumentError, TiredError, RefusedError, Sent]
    assert [type(end) for end in ends] == kinds


def test_after_a_cut_only_what_was_written_and_not_answered_is_in_doubt():
    bodies: list[bytes] = []

    def script(talk: Talk):
        talk.greet()
        bodies.extend(talk.hear_chunked() for _ in range(3))
        talk.say(OK)
        bodies.append(talk.hear_chunked())
        talk.sock.close()

    with scripted(script) as server, a_session(server) as session:
        ends = sent_all(session, [a_mail(number) for number in range(6)], window=3)
    assert isinstance(ends[0], Sent)
    doubts = [isinstance(end, WireError) and end.in_doubt for end in ends]
    assert doubts == [False, True, True, True, False, False]
    assert [end.untried for end in ends[1:]] == [False, False, False, True, True]


def test_mail_that_shows_the_server_does_not_keep_its_word_leaves_no_other_in_doubt():
    def script(talk: Talk):
        talk.greet()
        for _ in range(3):
            talk.hear_chunked()
        talk.say(b"250 reset\r\n250 ok\r\n503 RCPT first\r\n503 no\r\n" + OK * 2)
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        mails = [a_mail(number) for number in range(4)]
        first, *taken, last = sent_all(session, mails, window=3)
        assert not session.usable
    assert first.untried
    assert all(isinstance(end, Sent) for end in taken)
    assert last.untried


def test_after_a_421_nothing_is_in_doubt():
    bodies: list[bytes] = []

    def script(talk: Talk):
        talk.greet()
        bodies.extend(talk.hear_chunked() for _ in range(3))
        talk.say(OK + b"250 reset\r\n421 enough\r\n")

    with scripted(script) as server, a_session(server) as session:
        ends = sent_all(session, [a_mail(number) for number in range(4)], window=3)
    assert isinstance(ends[0], Sent)
    assert all(end.untried and not end.in_doubt for end in ends[1:])


def test_mails_not_wanted_any_more_are_not_written():
    bodies: list[bytes] = []

    def script(talk: Talk):
        talk.greet()
        bodies.extend(talk.hear_chunked() for _ in range(2))
        talk.say(OK * 2)
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        mails = [a_mail(number) for number in range(3)]
        ends = sent_all(session, mails, still_valid=lambda mail: mail is not mails[1])
    assert [end is None for end in ends] == [False, True, False]
    assert [b"<1@" in body for body in bodies] == [False, False]


def test_large_mails_do_not_block_both_sides():
    """The server answers at once and reads on only when its answer is gone."""
    bodies: list[bytes] = []

    def script(talk: Talk):
        talk.greet()
        for _ in range(30):
            bodies.append(talk.hear_chunked())
            talk.say(
                b"".join(b"250-" + b"x" * 400 + b"\r\n" + line for line in OK.splitlines(True))
            )

    mails = [a_mail(number, body="x" * 300_000) for number in range(30)]
    with scripted(script) as server, a_session(server) as session:
        ends = sent_all(session, mails, window=1000)
    assert all(isinstance(end, Sent) for end in ends)


def test_without_chunking_mails_go_one_by_one():
    def script(talk: Talk):
        talk.greet(OFFER_PIPELINING)
        for _ in range(3):
            talk.take_stepwise()

    with scripted(script) as server, a_session(server) as session:
        ends = sent_all(session, [a_mail(number) for number in range(3)])
    assert all(isinstance(end, Sent) for end in ends)
