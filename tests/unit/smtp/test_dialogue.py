"""What is said of one mail, and where it is cut into flights; no socket is asked."""

import pytest

from otpmail.smtp.dialogue import MAX_AWAITED, dialogue
from otpmail.smtp.errors import Phase
from otpmail.smtp.mails import always, prepare
from otpmail.smtp.modes import Mode
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Features
from tests.mailings import a_mail

RSET, MAIL, RCPT, DATA, BODY = Phase.RSET, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY

OK, GO_ON, NO = Reply(250, (b"ok",)), Reply(354, (b"go on",)), Reply(550, (b"no",))

TO = ("bob@example.org", "carol@example.org")


def said(mode, *, to=TO, refused=(), still_valid=always, must_reset=False):
    """Hold a dialogue with a server that refuses some commands; gives its flights and replies."""
    talk = dialogue(prepare(a_mail(to=to), Features()), mode, still_valid, must_reset=must_reset)
    flights = []
    try:
        flight = next(talk)
        while True:
            flights.append(flight)
            answers = [
                NO if phase in refused else GO_ON if phase is DATA else OK
                for phase in flight.awaits
            ]
            flight = talk.send(answers)
    except StopIteration as over:
        return flights, over.value


def cuts(mode, **options):
    return [flight.awaits for flight in said(mode, **options)[0]]


CUTS = {
    Mode.STEPWISE: [(MAIL,), (RCPT,), (RCPT,), (DATA,), (BODY,)],
    Mode.PIPELINED: [(MAIL, RCPT, RCPT, DATA), (BODY,)],
    Mode.CHUNKED: [(MAIL, RCPT, RCPT, BODY)],
    Mode.WINDOWED: [(RSET, MAIL, RCPT, RCPT, BODY)],
}


@pytest.mark.parametrize("mode", Mode)
def test_the_modes_differ_in_where_the_same_steps_are_cut(mode):
    assert cuts(mode) == CUTS[mode]


@pytest.mark.parametrize("mode", Mode)
def test_an_unfinished_mail_is_cleared_away_in_a_step_of_its_own_unless_it_always_is(mode):
    clearing = [] if mode is Mode.WINDOWED else [(RSET,)]
    assert cuts(mode, must_reset=True) == clearing + CUTS[mode]


def test_after_a_refused_rset_nothing_is_written():
    flights, replies = said(Mode.CHUNKED, must_reset=True, refused=[RSET])
    assert [flight.awaits for flight in flights] == [(RSET,)]
    assert replies.reset_refusal is NO


@pytest.mark.parametrize("mode", [Mode.STEPWISE, Mode.PIPELINED])
def test_a_sender_who_is_refused_has_no_more_flights(mode):
    many = tuple(f"bob{number}@example.org" for number in range(MAX_AWAITED))
    assert len(cuts(mode, to=many, refused=[MAIL, DATA])) == 1


def test_no_body_is_asked_for_where_nobody_takes_it():
    assert cuts(Mode.STEPWISE, refused=[RCPT]) == [(MAIL,), (RCPT,), (RCPT,)]


def test_a_body_that_is_asked_for_though_nobody_takes_it_is_an_empty_one():
    """RFC 2920, 3.1."""
    flights, _ = said(Mode.PIPELINED, refused=[RCPT])
    assert flights[-1].data == b".\r\n"


@pytest.mark.parametrize("mode", [Mode.PIPELINED, Mode.CHUNKED])
def test_no_flight_awaits_more_replies_than_find_room(mode):
    many = tuple(f"bob{number}@example.org" for number in range(1000))
    awaited = cuts(mode, to=many)
    assert max(map(len, awaited)) == MAX_AWAITED
    assert [phase for flight in awaited for phase in flight] == [MAIL, *[RCPT] * 1000, DATA, BODY]


@pytest.mark.parametrize(
    ("mode", "asked"),
    [(Mode.STEPWISE, 2), (Mode.PIPELINED, 2), (Mode.CHUNKED, 1), (Mode.WINDOWED, 1)],
)
def test_whether_it_is_still_valid_is_asked_before_envelope_and_body(mode, asked):
    def still_valid(mail) -> bool:
        questions.append(mail)
        return len(questions) <= yes

    for yes in range(asked + 1):
        questions = []
        flights, replies = said(mode, still_valid=still_valid)
        assert len(questions) == min(yes + 1, asked)
        assert replies.called_off is (yes < asked)
        assert any(BODY in flight.awaits for flight in flights) is (yes == asked)
        assert bool(flights) is (yes > 0)


def test_it_is_asked_only_after_the_session_is_clear():
    flights, replies = said(Mode.CHUNKED, must_reset=True, still_valid=lambda _: False)
    assert [flight.awaits for flight in flights] == [(RSET,)]
    assert replies.called_off


def test_a_flight_tells_its_body_from_its_envelope():
    prepared = prepare(a_mail(body="hello"), Features())
    for mode in Mode:
        flights, _ = said(mode, to=("bob@example.org",))
        assert [bool(flight.body) for flight in flights] == [
            BODY in flight.awaits for flight in flights
        ]
    (flight,) = [next(dialogue(prepared, Mode.CHUNKED, always, must_reset=False))]
    assert flight.data[-flight.body :] == prepared.content
    assert flight.data.removesuffix(prepared.content).endswith(b" LAST\r\n")
