"""What a server says is read by its first digit; what it refuses may be had another way."""

from dataclasses import replace

import pytest
from django.core.mail import EmailMessage

from otpmail.backends import smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Blame, Kind
from otpmail.smtp.client import MAX_REPLACED, deliver
from otpmail.smtp.errors import RefusedError, WireError
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.modes import memory
from otpmail.smtp.pool import Pool
from tests.mailings import a_mail, a_pool, a_session, in_seconds
from tests.ruled import HangUpError, Rule, Ruled, Turn
from tests.scripted import OFFER_ALL, OFFER_NOTHING, OFFER_PIPELINING, ScriptedServer, scripted

OFFERS = {"chunking": OFFER_ALL, "pipelining": OFFER_PIPELINING, "nothing": OFFER_NOTHING}

ways = pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)


@pytest.fixture(autouse=True)
def _closed_pools():
    yield
    smtp.close_pools()


def at_verb(verb: str, reply: bytes) -> Rule:
    return lambda turn: reply if turn.verb == verb else None


def a_backend(server: ScriptedServer, **options) -> EmailBackend:
    options = {"alias": "default", "host": server.host, "timeout": 60, "min_warm": 0} | options
    return EmailBackend(port=server.port, **options)


def a_message(number: int = 0) -> EmailMessage:
    return EmailMessage(str(number), "Hello", "alice@example.org", [f"bob{number}@example.org"])


def outcomes(server: ScriptedServer, count: int, **options) -> list:
    """One mail a call, as couriers send codes."""
    backend = a_backend(server, **options)
    return [backend.send_outcomes([a_message(number)])[0] for number in range(count)]


# Replies are read by their first digit.


CONVERSED = {"MAIL", "RCPT", "DATA", "BODY"}

REPLIES = [
    ("RCPT", b"571 5.7.1 no", Kind.PERMANENT, 571),
    ("RCPT", b"599 no", Kind.PERMANENT, 599),
    ("RCPT", b"560 no", Kind.PERMANENT, 560),
    ("RCPT", b"571\t5.7.1 no", Kind.PERMANENT, 571),
    ("RCPT", b"571 no\n", Kind.PERMANENT, 571),
    ("RCPT", b"571-5.7.1 no\n571 5.7.1 never\n", Kind.PERMANENT, 571),
    ("RCPT", b"571", Kind.PERMANENT, 571),
    ("RCPT", b"571x", Kind.PERMANENT, 571),
    ("MAIL", b"250OK", Kind.ACCEPTED, 250),
    ("BDAT", b"250OK", Kind.ACCEPTED, 250),
    ("BDAT", b"250: ok", Kind.ACCEPTED, 250),
    ("BDAT", b"250 " + b"x" * 5000, Kind.ACCEPTED, 250),
    ("BODY", b"250.ok", Kind.ACCEPTED, 250),
    ("DATA", b"354go on", Kind.ACCEPTED, 250),
    ("RCPT", b"471 later", Kind.TRANSIENT, 471),
    ("RCPT", b"260 ok", Kind.ACCEPTED, 250),
    ("RCPT", b"252 cannot verify", Kind.ACCEPTED, 250),
    ("MAIL", b"299\tok\n", Kind.ACCEPTED, 250),
    ("MAIL", b"499 later", Kind.TRANSIENT, 499),
    ("BDAT", b"571 5.7.1 no", Kind.PERMANENT, 571),
    ("BDAT", b"471 later", Kind.TRANSIENT, 471),
    ("BDAT", b"265 taken", Kind.ACCEPTED, 265),
    ("DATA", b"571 5.7.1 no", Kind.PERMANENT, 571),
    ("DATA", b"350 go on", Kind.ACCEPTED, 250),
    ("DATA", b"399\tgo on\n", Kind.ACCEPTED, 250),
    ("BODY", b"571 5.7.1 no", Kind.PERMANENT, 571),
    ("BODY", b"478\tlater\n", Kind.TRANSIENT, 478),
    ("BODY", b"266 taken", Kind.ACCEPTED, 266),
]


@pytest.mark.parametrize(
    ("offer", "verb", "reply", "kind", "code"),
    [
        (offer, *row)
        for offer in OFFERS.values()
        for row in REPLIES
        if row[0] in ({"MAIL", "RCPT", "BDAT"} if offer is OFFER_ALL else CONVERSED)
    ],
)
def test_a_code_that_is_not_known_means_what_its_first_digit_means(offer, verb, reply, kind, code):
    """RFC 5321, 4.2.1. The session lives on, and the server is not distrusted."""

    def rule(turn: Turn) -> bytes | None:
        return reply if (turn.verb, turn.begun, turn.session) == (verb, 1, 0) else None

    ruled = Ruled(rule, offer)
    with scripted(ruled) as server:
        first, second = outcomes(server, 2)
        assert not memory.unkept(server.host, server.port)
    assert (first.kind, first.code) == (kind, code)
    assert second.kind is Kind.ACCEPTED
    assert ruled.sessions == (2 if first.blame is Blame.ROUTE else 1)
    assert len(ruled.mails) == 1 + (kind is Kind.ACCEPTED)


@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "BDAT"])
@pytest.mark.parametrize(
    "reply", [b"150 soon", b"650 ok", b"25 ok", b"ok", b"", b"250-a\r\n354 b", b"250" + b"x" * 9000]
)
def test_what_is_no_reply_ends_the_session(verb, reply):
    with scripted(Ruled(at_verb(verb, reply + b"\r\n"))) as server:
        (outcome,) = outcomes(server, 1)
    assert outcome.kind in {Kind.TRANSIENT, Kind.UNKNOWN}
    assert outcome.blame is Blame.ROUTE


# A session that the server is tired of.

TIRED = {
    "a MAIL": ("MAIL", b"452 4.5.3 Too many messages in this session"),
    "a MAIL, no enhanced code": ("MAIL", b"451 too many"),
    "a MAIL, of policy": ("MAIL", b"450 4.7.1 slow down"),
    "a MAIL, for good": ("MAIL", b"550 5.7.0 Too many messages in this session"),
    "a MAIL, out of order": ("MAIL", b"503 5.5.1 no more"),
    "a MAIL, with good-bye": ("MAIL", b"421 4.7.0 Too many messages"),
    "a recipient": ("RCPT", b"452 4.5.3 Too many recipients"),
    "a recipient, in words": ("RCPT", b"450 too many recipients in this session"),
    "a body": ("BDAT", b"452 4.5.3 Too many messages"),
    "a recipient, of policy": ("RCPT", b"450 4.7.0 Too many messages"),
    "a recipient, of the system": ("RCPT", b"452 4.3.2 try later"),
    "a recipient, for good": ("RCPT", b"550 5.7.1 too many mails on this connection"),
    "a body, in words": ("BDAT", b"554 Too many messages per connection"),
    "a body, in other words": ("BDAT", b"554 too many messages sent"),
    "a body, of the system": ("BDAT", b"451 4.3.0 busy"),
    "a body, with good-bye": ("BDAT", b"421 4.3.0 Too many messages"),
}


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize("name", TIRED)
@ways
def test_what_a_tired_session_refuses_a_new_one_takes(offer, name, together):
    """Every third MAIL of a connection: Django's backend, with a connection each, sends all."""
    verb, reply = TIRED[name]
    if verb == "BDAT" and offer is not OFFER_ALL:
        verb = "BODY"
    ruled = Ruled(lambda turn: reply if turn.verb == verb and turn.begun > 2 else None, offer)
    messages = [a_message(number) for number in range(8)]
    with scripted(ruled) as server:
        backend = a_backend(server)
        calls = [messages] if together else [[message] for message in messages]
        ends = [outcome for call in calls for outcome in backend.send_outcomes(call)]
    assert [outcome.kind for outcome in ends] == [Kind.ACCEPTED] * 8
    assert sorted(ruled.recipients) == [b"bob%d@example.org" % number for number in range(8)]


@pytest.mark.parametrize(
    "reply", [b"452 4.5.3 Too many", b"450 no", b"550 no", b"421 bye", b"502 no", b"503 no"]
)
@ways
def test_a_session_that_refuses_to_clear_away_is_replaced(offer, reply):
    """RSET is said after a refusal; nothing of the next mail is lost or doubled by it."""

    def rule(turn: Turn) -> bytes | None:
        if turn.verb == "RCPT" and b"bob0@" in turn.line:
            return b"550 5.1.1 nobody"
        return reply if turn.verb == "RSET" else None

    ruled = Ruled(rule, offer)
    with scripted(ruled) as server:
        ends = outcomes(server, 3)
    assert [outcome.kind for outcome in ends] == [Kind.PERMANENT, Kind.ACCEPTED, Kind.ACCEPTED]
    assert ruled.recipients == [b"bob1@example.org", b"bob2@example.org"]


@pytest.mark.parametrize("reply", [b"452 4.5.3 no more", b"550 no more", b"421 4.7.0 no more"])
def test_a_window_that_meets_a_refused_rset_loses_and_doubles_nothing(reply):
    def rule(turn: Turn) -> bytes | None:
        if turn.taken < 3:
            return None
        return reply if turn.verb == "RSET" else b"503 5.5.1 no more"

    ruled = Ruled(rule)
    with scripted(ruled) as server:
        ends = a_backend(server).send_outcomes([a_message(number) for number in range(8)])
    assert [outcome.kind for outcome in ends] == [Kind.ACCEPTED] * 8
    assert sorted(ruled.recipients) == [b"bob%d@example.org" % number for number in range(8)]
    assert ruled.sessions == 3


@pytest.mark.parametrize(
    "reply", [b"452 4.5.3 no", b"450 4.7.1 no", b"451 4.3.0 no", b"550 5.7.1 no", b"530 5.7.0 no"]
)
@ways
def test_after_a_refusal_that_speaks_of_the_route_the_next_mail_has_a_new_session(offer, reply):
    """So has a probe, which is the next mail: the refusal may be of these sessions alone."""
    ruled = Ruled(at_verb("MAIL", reply), offer)
    with scripted(ruled) as server:
        ends = outcomes(server, 4)
    assert all(outcome.blame is not Blame.MAIL for outcome in ends)
    assert ruled.sessions == 4
    assert ruled.turns.count((0, "MAIL")) == 1


WORN = [b"450 4.7.1 slow down", b"451 4.7.0 not now", b"550 5.7.1 blocked", b"454 4.7.0 throttled"]


@pytest.mark.parametrize("reply", WORN)
@pytest.mark.parametrize(
    ("offer", "verb"),
    [(OFFER_ALL, "RCPT"), (OFFER_ALL, "BDAT")]
    + [
        (offer, verb)
        for offer in (OFFER_PIPELINING, OFFER_NOTHING)
        for verb in ("RCPT", "DATA", "BODY")
    ],
)
def test_a_session_that_refused_for_the_route_is_given_no_more_mails_of_a_batch(offer, verb, reply):
    """What is written already is answered by it; what is not goes over the next."""
    ruled = Ruled(
        lambda turn: reply if turn.verb == verb and (turn.session, turn.begun > 2) == (0, True)
        else None,
        offer,
    )  # fmt: skip
    in_flight = 8 if offer is OFFER_ALL else 3
    with scripted(ruled) as server:
        ends = a_backend(server).send_outcomes([a_message(number) for number in range(8)])
    taken = [outcome.kind is Kind.ACCEPTED for outcome in ends]
    assert taken == [number < 2 or number >= in_flight for number in range(8)]
    assert ruled.verbs(0).count("MAIL") == in_flight
    assert len(ruled.mails) == sum(taken)


@ways
def test_a_batch_that_is_refused_whole_does_not_open_a_session_for_each_mail(offer):
    ruled = Ruled(at_verb("RCPT", b"550 5.7.1 blocked"), offer)
    with scripted(ruled) as server:
        ends = a_backend(server).send_outcomes([a_message(number) for number in range(20)])
    assert {outcome.blame for outcome in ends} == {Blame.ROUTE}
    assert ruled.sessions <= MAX_REPLACED + 1
    assert [verb for _, verb in ruled.turns].count("MAIL") == 20


def test_a_mail_that_no_session_takes_is_tried_on_two_and_not_on_all():
    ruled = Ruled(lambda turn: b"550 5.7.1 no" if b"<mallory" in turn.line else None)
    from_mallory = a_message(9)
    from_mallory.from_email = "mallory@example.org"
    with scripted(ruled) as server:
        backend = a_backend(server)
        backend.send_outcomes([a_message()])
        (outcome,) = backend.send_outcomes([from_mallory])
    assert (outcome.kind, outcome.code) == (Kind.PERMANENT, 550)
    assert [verb for _, verb in ruled.turns].count("MAIL") == 3


@pytest.mark.parametrize("reply", [b"552 5.3.4 too large", b"550 5.1.1 nobody", b"450 4.2.0 busy"])
def test_a_refusal_that_speaks_of_the_mail_keeps_the_session(reply):
    verb = "MAIL" if b"large" in reply else "RCPT"
    ruled = Ruled(lambda turn: reply if turn.verb == verb and turn.begun == 2 else None)
    with scripted(ruled) as server:
        ends = outcomes(server, 3)
    assert [outcome.kind is Kind.ACCEPTED for outcome in ends] == [True, False, True]
    assert ruled.sessions == 1


# What a server offers and then refuses.


def eight_bit(number: int = 0) -> Mail:
    content = f"Subject: {number}\nContent-Type: text/plain; charset=utf-8\n\ncafé {number}\n"
    return Mail(
        sender="alice@example.org", recipients=("bob@example.org",), content=content.encode()
    )


def ends(pool: Pool, *mails: Mail) -> list:
    return [deliver(pool, [mail], deadline=in_seconds())[0] for mail in mails]


PARAMETERS = [
    b"555 5.5.4 BODY?",
    b"501 5.5.4 no",
    b"504 no",
    b"500 what?",
    b"455 4.5.0 not now",
    b"550 5.6.3 conversion required",
    b"554 5.6.1 8BITMIME not supported",
    b"550 5.5.4 Unsupported option",
    b"554 5.5.4 Unsupported option: BODY=8BITMIME SIZE=1",
    b"553 5.5.2 syntax",
    b"554 unknown parameter",
    b"550 BODY= what?",
]


@pytest.mark.parametrize("reply", PARAMETERS)
@pytest.mark.parametrize("parameter", [b" BODY=", b" SIZE="])
@ways
def test_parameters_that_are_offered_and_refused_are_left_out(offer, parameter, reply, caplog):
    offer = offer.replace(b"250-scripted\r\n", b"250-scripted\r\n250-SIZE 1000000\r\n")
    if b"SIZE" not in offer:
        offer = b"250-scripted\r\n250-SIZE\r\n250 8BITMIME\r\n"
    ruled = Ruled(lambda turn: reply if parameter in turn.line else None, offer)
    with scripted(ruled) as server, a_pool(server) as pool:
        assert all(isinstance(end, Sent) for end in ends(pool, eight_bit(0), eight_bit(1)))
    assert len(ruled.mails) == 2
    assert all(b"caf=C3=A9" in body for _, body in ruled.mails)
    assert caplog.text.count("misbehaves") <= 2


@ways
def test_a_sender_refused_as_such_is_not_tried_plain(offer):
    """501 5.1.7 speaks of the address."""
    ruled = Ruled(at_verb("MAIL", b"501 5.1.7 Bad sender address syntax"), offer)
    with scripted(ruled) as server, a_pool(server) as pool:
        (end,) = ends(pool, eight_bit())
    assert isinstance(end, RefusedError)
    assert [verb for _, verb in ruled.turns].count("MAIL") == 1


SENDERS = [b"555 5.5.2 Syntax error", b"501 syntax", b"550 5.5.4 bad", b"554 invalid parameter"]


@pytest.mark.parametrize("reply", SENDERS)
@ways
def test_a_sender_refused_plain_too_takes_no_extension_from_other_mails(offer, reply):
    """Only a mail that is taken without shows that it was the extension."""
    ruled = Ruled(lambda turn: reply if b"<mallory" in turn.line else None, offer)
    from_mallory = replace(eight_bit(), sender="mallory@example.org")
    with scripted(ruled) as server, a_pool(server) as pool:
        refused, taken = ends(pool, from_mallory, eight_bit(1))
        assert not memory.unkept(server.host, server.port)
    assert isinstance(refused, RefusedError)
    assert isinstance(taken, Sent)
    lines = 1 + (b"8BITMIME" in offer)
    assert [verb for _, verb in ruled.turns].count("MAIL") == lines + 1
    assert ("café 1".encode() in ruled.mails[0][1]) == (b"8BITMIME" in offer)


@pytest.mark.parametrize("reply", [b"550 5.6.3 no", b"554 5.6.1 8BITMIME not supported",
                                   b"554 8-bit data not allowed"])  # fmt: skip
@ways
def test_a_body_refused_for_its_eight_bits_is_sent_in_seven(offer, reply):
    def rule(turn: Turn) -> bytes | None:
        if turn.verb == "MAIL":
            eight_bits[turn.session] = b"8BITMIME" in turn.line
        is_body = turn.verb in {"BDAT", "BODY"}
        return reply if is_body and eight_bits[turn.session] else None

    eight_bits: dict[int, bool] = {}
    ruled = Ruled(rule, offer)
    with scripted(ruled) as server, a_pool(server) as pool:
        assert all(isinstance(end, Sent) for end in ends(pool, eight_bit(0), eight_bit(1)))
    assert all(b"caf=C3=A9" in body for _, body in ruled.mails)


NO_COMMANDS = [
    b"500 5.7.1 no",
    b"503 5.5.1 auth first",
    b"503 5.5.1 Error: authentication required",
    b"502 5.7.0 not here",
    b"500 5.1.1 nobody",
    b"503 log in first",
    b"503 5.5.1 STARTTLS first",
    b"502 5.2.1 mailbox disabled",
]


@pytest.mark.parametrize("reply", NO_COMMANDS)
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "BDAT"])
def test_a_refusal_of_who_asks_or_whom_it_names_is_of_no_command(verb, reply):
    """It is told once, and the server goes on being spoken to in flights."""
    offer = OFFER_PIPELINING if verb == "DATA" else OFFER_ALL
    ruled = Ruled(at_verb(verb, reply), offer)
    with scripted(ruled) as server, a_pool(server) as pool:
        (end,) = ends(pool, a_mail())
        assert not memory.unkept(server.host, server.port)
    assert isinstance(end, RefusedError)
    assert end.reply.code == int(reply[:3])
    assert [verb for _, verb in ruled.turns].count("MAIL") == 1


def test_smtputf8_that_is_offered_and_refused_is_a_mail_that_does_not_fit():
    offer = b"250-scripted\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 PIPELINING\r\n"
    ruled = Ruled(lambda turn: b"555 no" if b"SMTPUTF8" in turn.line else None, offer)
    message = a_message()
    message.to = ["jürgen@example.org"]
    with scripted(ruled) as server:
        (outcome,) = a_backend(server).send_outcomes([message])
        assert a_backend(server).send_outcomes([a_message()])[0].kind is Kind.ACCEPTED
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.CAPABILITY)


@pytest.mark.parametrize("reply", [b"500 what?", b"502 no", b"503 5.5.1 improper pipelining"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "BDAT"])
def test_flights_that_are_offered_and_refused_give_way_to_steps(verb, reply):
    """Only the first session's commands come in flights."""
    offer = OFFER_PIPELINING if verb == "DATA" else OFFER_ALL
    ruled = Ruled(lambda turn: reply if (turn.verb, turn.session) == (verb, 0) else None, offer)
    with scripted(ruled) as server, a_pool(server) as pool:
        assert all(isinstance(end, Sent) for end in ends(pool, a_mail(0), a_mail(1)))
        assert {"PIPELINING", "CHUNKING"} <= memory.unkept(server.host, server.port)
    assert len(ruled.mails) == 2
    assert ruled.verbs(1).count("DATA") == 2


@pytest.mark.parametrize("reply", [b"501 5.5.4 no", b"504 no"])
def test_a_chunk_whose_parameters_are_not_known_gives_way_to_steps(reply):
    ruled = Ruled(at_verb("BDAT", reply))
    with scripted(ruled) as server, a_pool(server) as pool:
        assert isinstance(ends(pool, a_mail())[0], Sent)
    assert len(ruled.mails) == 1


# Greeting.


@pytest.mark.parametrize("code", [b"500", b"501", b"502", b"504", b"521", b"550", b"554", b"571"])
def test_ehlo_refused_for_good_is_followed_by_helo(code):
    ruled = Ruled(at_verb("EHLO", code + b" what?"))
    with scripted(ruled) as server, a_session(server) as session:
        assert not session.features.offered
        assert session.usable
    assert ruled.verbs()[:2] == ["EHLO", "HELO"]


@pytest.mark.parametrize("end", [b"550 5.7.1 go away", b"421 bye", None])
def test_where_helo_is_no_use_either_the_first_refusal_is_told(end):
    def rule(turn: Turn) -> bytes | None:
        if turn.verb == "HELO" and end is None:
            raise HangUpError
        return {"EHLO": b"554 5.7.1 you are listed", "HELO": end}.get(turn.verb)

    with scripted(Ruled(rule)) as server:
        (outcome,) = outcomes(server, 1)
    assert (outcome.kind, outcome.code, outcome.blame) == (Kind.PERMANENT, 554, Blame.ROUTE)
    assert "listed" in outcome.reply


@pytest.mark.parametrize("code", [b"421", b"450", b"451"])
def test_ehlo_refused_for_now_is_told(code):
    ruled = Ruled(at_verb("EHLO", code + b" 4.3.0 busy"))
    with scripted(ruled) as server:
        (outcome,) = outcomes(server, 1)
    assert (outcome.kind, outcome.code) == (Kind.TRANSIENT, int(code))
    assert "HELO" not in ruled.verbs()


NO_NAMES = ["", "localhost", "3f9c2a", "my_host.example.org", "a b", "größe.example.org",
            "x" * 300, "10.0.0.7", "-a.example.org", "a..b", "a.b\r\nQUIT", "[10.0.0.7",
            "a." + "b" * 64]  # fmt: skip


@pytest.mark.parametrize("name", [*NO_NAMES, OSError("no"), UnicodeError("label"), TypeError("x")])
def test_a_host_name_that_is_no_name_gives_way_to_an_address(name):
    def look_up() -> str:
        if isinstance(name, Exception):
            raise name
        return name

    def rule(turn: Turn) -> bytes | None:
        heard.append(turn.line)
        return None

    heard: list[bytes] = []
    with scripted(Ruled(rule)) as server, a_session(server, local_name=look_up) as session:
        assert session.usable
    assert heard[0] == b"EHLO [127.0.0.1]"


def test_no_error_of_a_refusal_holds_an_address():
    with scripted(Ruled(at_verb("MAIL", b"555 no"))) as server, a_pool(server) as pool:
        (end,) = ends(pool, eight_bit())
    assert isinstance(end, WireError)
    assert "@" not in str(end)
