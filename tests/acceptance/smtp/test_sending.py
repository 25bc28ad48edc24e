"""One mail on one session: what is written, in how many flights, and how replies are read."""

import threading
import time

import pytest

from otpmail.smtp.dialogue import MAX_AWAITED
from otpmail.smtp.errors import (
    BrokenError,
    MisbehavedError,
    ProtocolError,
    RecipientsRefusedError,
    RefusedError,
    TimedOutError,
    Written,
)
from otpmail.smtp.modes import FLIGHTS, Mode, memory
from otpmail.smtp.session import Timeouts
from tests.mailings import a_mail, a_session, in_seconds, send
from tests.scripted import OFFER_ALL, OFFER_NOTHING, OFFER_PIPELINING, Talk, scripted

BODY = b"Message-ID: <0@example.org>\r\nSubject: 0\r\n\r\n\r\n"
BDAT = b"BDAT %d LAST" % len(BODY)
ENVELOPE = [b"MAIL FROM:<alice@example.org>", b"RCPT TO:<bob@example.org>"]


def sent(session, mail=None, **options):
    return send(session, mail or a_mail(), deadline=in_seconds(), **options)


def test_with_chunking_the_whole_mail_is_one_write():
    segments = []

    def script(talk: Talk):
        talk.greet()
        segments.append(talk.sock.recv(65536))
        talk.say(b"250 ok\r\n250 ok\r\n250 2.0.0 queued as 4ABC\r\n")

    with scripted(script) as server, a_session(server) as session:
        assert session.mode is Mode.CHUNKED
        assert sent(session).reply.text == "2.0.0 queued as 4ABC"
    assert segments == [b"\r\n".join([*ENVELOPE, BDAT, BODY])]


def test_with_pipelining_the_envelope_is_one_write_and_the_body_another():
    segments = []

    def script(talk: Talk):
        talk.greet(OFFER_PIPELINING)
        segments.append(talk.sock.recv(65536))
        talk.say(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        segments.append(talk.sock.recv(65536))
        talk.say(b"250 taken\r\n")

    with scripted(script) as server, a_session(server) as session:
        assert session.mode is Mode.PIPELINED
        assert sent(session).reply.code == 250
    assert segments == [b"\r\n".join([*ENVELOPE, b"DATA", b""]), BODY + b".\r\n"]


def test_without_pipelining_each_command_awaits_its_reply():
    segments = []

    def script(talk: Talk):
        talk.greet(OFFER_NOTHING)
        for reply in (b"250 ok", b"250 ok", b"354 go on", b"250 taken"):
            segments.append(talk.sock.recv(65536))
            talk.say(reply + b"\r\n")

    with scripted(script) as server, a_session(server) as session:
        assert sent(session).reply.code == 250
    assert segments == [*(line + b"\r\n" for line in (*ENVELOPE, b"DATA")), BODY + b".\r\n"]


def test_pipelining_can_be_forbidden():
    def script(talk: Talk):
        talk.greet()
        talk.take_stepwise()

    with scripted(script) as server, a_session(server, ceiling=Mode.STEPWISE) as session:
        assert sent(session).reply.code == 250


def test_a_server_that_knows_no_ehlo_is_greeted_plainly():
    def script(talk: Talk):
        talk.say(b"220 old\r\n")
        talk.hear()
        talk.say(b"502 what?\r\n")
        assert talk.hear() == b"HELO client.example.org"
        talk.say(b"250 old\r\n")
        talk.take_stepwise()

    with scripted(script) as server, a_session(server) as session:
        assert sent(session).reply.code == 250


@pytest.mark.parametrize("offer", [OFFER_ALL, OFFER_PIPELINING, OFFER_NOTHING])
def test_a_line_that_begins_with_a_dot_arrives_as_it_was(offer):
    bodies = []
    mail = a_mail(body=".\n..x\n.")

    def script(talk: Talk):
        talk.greet(offer)
        bodies.append(talk.take_chunked() if offer is OFFER_ALL else talk.take_stepwise())

    with scripted(script) as server, a_session(server) as session:
        sent(session, mail)
    plain = b"\r\n\r\n.\r\n..x\r\n.\r\n"
    stuffed = b"\r\n\r\n..\r\n...x\r\n..\r\n.\r\n"
    assert bodies[0].endswith(plain if offer is OFFER_ALL else stuffed)


def test_replies_that_come_in_single_octets_are_read():
    def script(talk: Talk):
        talk.greet()
        talk.hear_bytes(50)
        for octet in b"250 ok\r\n250-two\r\n250 lines\r\n250 taken\r\n":
            talk.say(bytes([octet]))
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        assert sent(session).reply.text == "taken"


def test_one_refused_recipient_does_not_keep_the_mail_from_the_other():
    def script(talk: Talk):
        talk.greet()
        talk.hear_bytes(50)
        talk.say(b"250 ok\r\n550 5.1.1 nobody\r\n250 ok\r\n250 taken\r\n")
        talk.wait_for_end()

    mail = a_mail(to=("nobody@example.org", "bob@example.org"))
    with scripted(script) as server, a_session(server) as session:
        end = sent(session, mail)
    assert end.reply.text == "taken"
    assert {address: reply.code for address, reply in end.refused.items()} == {
        "nobody@example.org": 550
    }


def test_a_refused_recipient_with_its_chunk_refused_leaves_the_session_of_use():
    """RFC 3030, 2: what remains of the mail is cleared away with the next one's flight."""
    heard = []

    def script(talk: Talk):
        talk.greet()
        talk.hear(), talk.hear(), talk.hear(), talk.hear_bytes(len(BODY))
        talk.say(b"250 ok\r\n550 5.1.1 nobody\r\n554 5.5.1 no valid recipients\r\n")
        heard.append(talk.hear())
        talk.say(b"250 flushed\r\n")
        talk.take_chunked()

    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(RecipientsRefusedError) as caught:
            sent(session)
        assert caught.value.reply.code == 550
        assert not caught.value.in_doubt
        assert "bob" not in str(caught.value)
        assert sent(session).reply.code == 250
    assert heard == [b"RSET"]


def test_replies_out_of_step_are_not_taken_for_the_next_mails():
    """A server that refuses a chunk unread takes its lines for commands, and answers each."""

    def script(talk: Talk):
        talk.greet()
        talk.hear(), talk.hear(), talk.hear()
        talk.say(b"550 no\r\n503 no\r\n503 no\r\n")
        talk.hear_bytes(len(BODY))
        talk.hear()
        talk.say(b"500 Message-ID?\r\n500 Subject?\r\n250 flushed\r\n250 ok\r\n")
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(RefusedError):
            sent(session)
        with pytest.raises(ProtocolError):
            sent(session)
        assert not session.usable
        assert memory.unkept(server.host, server.port) == FLIGHTS


def test_a_body_asked_for_though_nobody_takes_it_is_ended_at_once():
    """RFC 2920, 3.1."""
    bodies = []

    def script(talk: Talk):
        talk.greet(OFFER_PIPELINING)
        talk.hear(), talk.hear(), talk.hear()
        talk.say(b"250 ok\r\n550 nobody\r\n354 go on\r\n")
        bodies.append(talk.hear_body())
        talk.say(b"554 no valid recipients\r\n")
        talk.take_stepwise()

    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(RecipientsRefusedError):
            sent(session)
        assert sent(session).reply.code == 250
    assert bodies == [b".\r\n"]


@pytest.mark.parametrize(
    ("offer", "replies", "phase"),
    [
        (OFFER_ALL, b"550 no\r\n503 no\r\n503 no\r\n", "mail"),
        (OFFER_ALL, b"250 ok\r\n450 later\r\n503 no\r\n", "rcpt"),
        (OFFER_ALL, b"250 ok\r\n250 ok\r\n554 spam\r\n", "body"),
        (OFFER_PIPELINING, b"550 no\r\n503 no\r\n503 no\r\n", "mail"),
        (OFFER_PIPELINING, b"250 ok\r\n450 later\r\n503 no\r\n", "rcpt"),
        (OFFER_PIPELINING, b"250 ok\r\n250 ok\r\n451 later\r\n", "data"),
    ],
)
def test_a_refusal_is_told_with_its_phase_and_keeps_the_session(offer, replies, phase):
    def script(talk: Talk):
        talk.greet(offer)
        talk.hear(), talk.hear(), talk.hear()
        if offer is OFFER_ALL:
            talk.hear_bytes(len(BODY))
        talk.say(replies)
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(RefusedError) as caught:
            sent(session)
        assert caught.value.phase == phase
        assert not caught.value.in_doubt
        assert not caught.value.untried
        assert session.usable
        assert not memory.unkept(server.host, server.port)


@pytest.mark.parametrize(
    "replies", [b"250 ok\r\n503 bad\r\n503 bad\r\n", b"250 ok\r\n250 ok\r\n502 BDAT?\r\n"]
)
def test_a_server_that_refuses_what_it_offered_is_remembered(replies, caplog):
    def script(talk: Talk):
        talk.greet()
        if talk.number > 0:
            talk.take_stepwise()
            return
        talk.hear_bytes(50)
        talk.say(replies)
        talk.wait_for_end()

    with scripted(script) as server:
        with a_session(server) as session:
            with pytest.raises(MisbehavedError) as caught:
                sent(session)
            assert caught.value.untried
            assert not session.usable
        with a_session(server) as session:
            assert session.mode is Mode.STEPWISE
            assert sent(session).reply.code == 250
    assert "misbehaves" in caplog.text
    assert "bob" not in caplog.text


def test_a_broken_pair_of_replies_is_remembered():
    def script(talk: Talk):
        talk.greet()
        talk.hear_bytes(50)
        talk.say(b"250 ok\r\n250-ok\r\n354 go on\r\n")
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(ProtocolError) as caught:
            sent(session)
        assert caught.value.in_doubt
        assert not session.usable
        assert memory.unkept(server.host, server.port) == FLIGHTS


def test_an_answer_that_is_neither_yes_nor_no_leaves_doubt():
    def script(talk: Talk):
        talk.greet()
        talk.take_chunked(b"354 go on\r\n")
        talk.wait_for_end()

    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(ProtocolError) as caught:
            sent(session)
        assert caught.value.in_doubt
        assert not session.usable


def test_a_server_that_swallows_pipelined_commands_is_remembered():
    def script(talk: Talk):
        talk.greet()
        talk.hear_bytes(50)
        talk.say(b"250 ok\r\n")
        talk.wait_for_end()

    impatient = Timeouts(reply=0.3)
    with scripted(script) as server, a_session(server, timeouts=impatient) as session:
        with pytest.raises(TimedOutError) as caught:
            sent(session)
        assert caught.value.in_doubt
        assert memory.unkept(server.host, server.port) == FLIGHTS


def test_a_421_in_mid_pipeline_means_that_nothing_was_taken():
    """RFC 5321, 3.8."""

    def script(talk: Talk):
        talk.greet()
        talk.hear_bytes(50)
        talk.say(b"250 ok\r\n421 4.3.2 shutting down\r\n")

    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(RefusedError) as caught:
            sent(session)
        assert caught.value.reply.code == 421
        assert caught.value.untried
        assert not caught.value.in_doubt
        assert not session.usable


def cut_after_the_envelope(talk: Talk):
    talk.greet(OFFER_PIPELINING)
    talk.hear(), talk.hear(), talk.hear()
    talk.say(b"250 ok\r\n250 ok\r\n")
    talk.cut()


def cut_before_the_body(talk: Talk):
    talk.greet(OFFER_PIPELINING)
    talk.hear(), talk.hear(), talk.hear()
    talk.say(b"250 ok\r\n250 ok\r\n354 go on\r\n")
    talk.cut()


def cut_after_half_the_body(talk: Talk):
    talk.greet()
    talk.hear_bytes(1000)
    talk.cut()


def cut_after_the_body(talk: Talk):
    talk.greet(OFFER_PIPELINING)
    talk.hear(), talk.hear(), talk.hear()
    talk.say(b"250 ok\r\n250 ok\r\n354 go on\r\n")
    talk.hear_body()
    talk.cut()


def cut_after_the_chunk(talk: Talk):
    talk.greet()
    talk.hear(), talk.hear()
    talk.hear_bytes(int(talk.hear().split()[1]))
    talk.cut()


@pytest.mark.parametrize(
    ("script", "size", "in_doubt"),
    [
        (cut_after_the_envelope, 0, False),
        (cut_after_half_the_body, 20_000_000, False),  # more than the kernels' buffers hold
        (cut_after_the_body, 0, True),
        (cut_after_the_chunk, 0, True),
    ],
)
def test_a_cut_leaves_doubt_only_after_the_end_mark(script, size, in_doubt):
    mail = a_mail(body="x" * size)
    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(BrokenError) as caught:
            sent(session, mail)
        assert caught.value.in_doubt is in_doubt
        assert caught.value.untried is not in_doubt
        assert not session.usable


def test_a_cut_before_the_body_is_never_taken_for_a_sent_mail():
    with scripted(cut_before_the_body) as server, a_session(server) as session:
        with pytest.raises(BrokenError) as caught:
            sent(session)
        # The kernel may or may not have taken the body before it knew.
        assert caught.value.written in {Written.NOTHING, Written.WHOLE}


def test_a_reply_that_never_ends_is_not_waited_for():
    def script(talk: Talk):
        talk.greet()
        talk.hear_bytes(50)
        while True:
            talk.say(b"250-and\r\n" * 100)

    with scripted(script) as server, a_session(server) as session, pytest.raises(ProtocolError):
        sent(session)


def test_a_reply_that_dribbles_is_not_waited_for():
    """The limit is on the reply, not on each read."""

    def script(talk: Talk):
        talk.greet()
        talk.hear_bytes(50)
        for _ in range(2000):
            talk.say(b"2")
            time.sleep(0.05)

    with scripted(script) as server, a_session(server, timeouts=Timeouts(reply=0.3)) as session:
        start = time.monotonic()
        with pytest.raises((TimedOutError, ProtocolError)):
            sent(session)
        assert time.monotonic() - start < 20


def test_a_server_that_does_not_read_is_not_waited_for():
    def script(talk: Talk):
        talk.greet()
        talk.hear()
        event.wait(60)

    event = threading.Event()
    mail = a_mail(body="x" * 20_000_000)  # more than the kernels' buffers hold
    with scripted(script) as server, a_session(server) as session:
        with pytest.raises(TimedOutError) as caught:
            send(session, mail, deadline=in_seconds(2))
        assert caught.value.written is Written.PART
        event.set()


def test_a_large_mail_may_take_its_time():
    def script(talk: Talk):
        talk.greet()
        talk.hear(), talk.hear()
        left = int(talk.hear().split()[1]) - len(talk._buffer)
        while left > 0:
            left -= len(talk.sock.recv(500_000))
            time.sleep(0.02)
        talk.say(b"250 ok\r\n250 ok\r\n250 taken\r\n")
        talk.wait_for_end()

    with scripted(script) as server, a_session(server, timeouts=Timeouts(write=0.3)) as session:
        start = time.monotonic()
        assert sent(session, a_mail(body="x" * 20_000_000)).reply.code == 250
        assert time.monotonic() - start > 0.3


def test_a_mail_not_wanted_any_more_is_not_written():
    def script(talk: Talk):
        talk.greet()
        talk.wait_for_end()
        assert talk._buffer == b""

    with scripted(script) as server, a_session(server) as session:
        assert sent(session, still_valid=lambda _: False) is None
        assert session.usable


def test_many_recipients_go_in_flights_whose_replies_find_room():
    """RFC 2920, 3.1: neither side may block on writing while the other does."""
    to = tuple(f"bob{number}@example.org" for number in range(1000))
    answer = b"250-" + b"x" * 500 + b"\r\n250 ok\r\n"
    flights = []

    def script(talk: Talk):
        talk.greet()
        while True:
            lines = talk.sock.recv(65536).splitlines()
            flights.append(len(lines))
            talk.say(answer * (len(lines) - (lines[-1] == b"DATA")))
            if lines[-1] == b"DATA":
                break
        talk.say(b"354 go on\r\n")
        talk.hear_body()
        talk.say(b"250 taken\r\n")

    with scripted(script) as server, a_session(server) as session:
        assert sent(session, a_mail(to=to)).refused == {}
    assert sum(flights) == 1002
    assert max(flights) <= MAX_AWAITED


def test_eight_bits_are_announced_and_kept():
    bodies = []
    mail = a_mail()
    mail = type(mail)(
        sender=mail.sender,
        recipients=mail.recipients,
        content="Content-Type: text/plain; charset=utf-8\n\ncafé\n".encode(),
    )

    def script(talk: Talk):
        talk.greet()
        bodies.append(talk.take_chunked())
        assert talk.heard[1] == b"MAIL FROM:<alice@example.org> BODY=8BITMIME"

    with scripted(script) as server, a_session(server) as session:
        sent(session, mail)
    assert "café".encode() in bodies[0]
