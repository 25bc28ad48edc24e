"""More recipients than a server takes at once: the rest go in further transactions, none twice."""

import pytest
from django.core.mail import EmailMessage

from otpmail.backends import smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Kind
from otpmail.smtp.client import deliver
from otpmail.smtp.errors import RecipientsRefusedError, RefusedError, WireError
from otpmail.smtp.mails import Sent
from tests.mailings import a_mail, a_pool, in_seconds
from tests.ruled import HangUpError, Ruled, Turn
from tests.scripted import OFFER_ALL, OFFER_NOTHING, OFFER_PIPELINING, scripted

OFFERS = {"chunking": OFFER_ALL, "pipelining": OFFER_PIPELINING, "nothing": OFFER_NOTHING}

ways = pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)


def people(count: int, domain: str = "example.org") -> tuple[str, ...]:
    return tuple(f"bob{number}@{domain}" for number in range(count))


def as_bytes(addresses) -> list[bytes]:
    return sorted(address.encode() for address in addresses)


def sent(server, *mails, **options) -> list:
    with a_pool(server) as pool:
        return deliver(pool, mails, deadline=in_seconds(), **options)


def with_limits(offer: bytes, limits: bytes) -> bytes:
    return offer.replace(b"250-scripted", b"250-scripted\r\n250-LIMITS " + limits).replace(
        b"250 scripted", b"250-scripted\r\n250 LIMITS " + limits
    )


TOO_MANY = [
    b"452 4.5.3 Error: too many recipients",
    b"452 too many recipients",
    b"452 no more",
    b"452-4.5.3 Your message has too many recipients\r\n452 4.5.3 really",
    b"552 too many recipients",
    b"552 5.5.3 too many",
    b"550 5.5.3 too many",
    b"451 4.5.3 too many",
    b"450 Too many recipients",
    b"550 maximum number of recipients exceeded",
    b"550 #5.5.3 Too many",
    b"550 (5.5.3) Too many",
    b"452 4.1.0 limit",
    b"452 4.5.0 limit",
    b"452 Recipient limit exceeded",
    b"552 Maximum recipients reached",
    b"550 5.7.1 Number of recipients exceeds the maximum",
    b"550 too many rcpts",
    b"554 5.7.0 Limit of 10 recipients per message",
]


@pytest.mark.parametrize("reply", TOO_MANY)
@ways
def test_those_that_are_one_too_many_go_in_further_transactions(offer, reply):
    """RFC 5321, 4.5.3.1.10."""
    ruled = Ruled(lambda turn: reply if turn.verb == "RCPT" and turn.named > 10 else None, offer)
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(25)))
    assert isinstance(end, Sent)
    assert end.refused == {}
    assert sorted(ruled.recipients) == as_bytes(people(25))
    assert [len(recipients) for recipients, _ in ruled.mails] == [10, 10, 5]
    assert [verb for _, verb in ruled.turns].count("RCPT") == 25 + 10 + 5
    assert len({body for _, body in ruled.mails}) == 1


@pytest.mark.parametrize("count", [5, 25, 100])
@pytest.mark.parametrize(
    "reply", [b"421 4.5.3 too many recipients", b"421 Too many recipients", b"421 4.5.3 bye"]
)
@ways
def test_a_server_that_hangs_up_on_too_many_is_sent_fewer(offer, reply, count):
    ruled = Ruled(lambda turn: reply if turn.verb == "RCPT" and turn.named > 2 else None, offer)
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(count)))
    assert isinstance(end, Sent)
    assert end.refused == {}
    assert sorted(ruled.recipients) == as_bytes(people(count))


@pytest.mark.parametrize(
    "reply", [b"550 5.4.5 Daily recipient limit exceeded", b"450 Too many recipients in this hour",
              b"550 recipient's mailbox is over its limit", b"452 4.2.0 full"]
)  # fmt: skip
def test_a_number_that_fewer_at_once_do_not_help_with_is_no_reason_to_split(reply):
    ruled = Ruled(lambda turn: reply if turn.verb == "RCPT" and turn.named > 3 else None)
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(5)))
    assert len(end.refused) == 2
    assert len(ruled.mails) == 1


@pytest.mark.parametrize("verb", ["DATA", "BODY"])
@pytest.mark.parametrize(
    "reply", [b"452 4.5.3 too many recipients", b"550 5.5.3 no", b"554 Too many recipients"]
)
def test_a_server_that_counts_them_at_the_end_is_sent_fewer(verb, reply):
    """As Exim with ``recipients_max_reject``."""
    ruled = Ruled(
        lambda turn: reply if turn.verb == verb and len(turn.recipients) > 6 else None,
        OFFER_PIPELINING,
    )
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(20)))
    assert isinstance(end, Sent)
    assert sorted(ruled.recipients) == as_bytes(people(20))


@pytest.mark.parametrize("reply", [b"552 5.3.4 too large", b"452 4.3.1 disk full", b"552 too large",
                                   b"554 5.7.1 spam"])  # fmt: skip
def test_a_body_refused_for_what_it_is_is_not_split(reply):
    verbs = {"BDAT": OFFER_ALL, "BODY": OFFER_NOTHING}
    for verb, offer in verbs.items():
        ruled = Ruled(lambda turn, verb=verb: reply if turn.verb == verb else None, offer)
        with scripted(ruled) as server:
            (end,) = sent(server, a_mail(to=people(20)))
        assert isinstance(end, RefusedError)
        assert [verb_ for _, verb_ in ruled.turns].count("MAIL") == 1


@pytest.mark.parametrize(
    "limits", [b"RCPTMAX=10", b"MAILMAX=5 RCPTMAX=10", b"rcptmax=10", b"RCPTMAX=10 X-NEW=a"]
)
@ways
def test_a_limit_that_is_announced_is_kept(offer, limits):
    """RFC 9422, 4.2."""
    ruled = Ruled(offer=with_limits(offer, limits))
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(25)))
    assert isinstance(end, Sent)
    assert [len(recipients) for recipients, _ in ruled.mails] == [10, 10, 5]
    assert sorted(ruled.recipients) == as_bytes(people(25))


@pytest.mark.parametrize(
    "limits", [b"", b"RCPTMAX", b"RCPTMAX=", b"RCPTMAX=0", b"RCPTMAX=-1", b"RCPTMAX=x", b"FOO=1"]
)
def test_a_limit_that_says_nothing_is_passed_over(limits):
    ruled = Ruled(offer=with_limits(OFFER_ALL, limits))
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(25)))
    assert isinstance(end, Sent)
    assert len(ruled.mails) == 1


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("most", [1, 3])
@ways
def test_a_session_begins_no_more_mails_than_it_may(offer, most, window):
    """RFC 9422, 4.1: MAILMAX counts those that fail, too."""

    def rule(turn: Turn) -> bytes | None:
        assert turn.begun <= most
        return b"550 5.1.1 nobody" if b"bob3@" in turn.line else None

    ruled = Ruled(rule, with_limits(offer, b"MAILMAX=%d" % most))
    mails = [a_mail(number, to=(f"bob{number}@example.org",)) for number in range(8)]
    with scripted(ruled) as server:
        ends = sent(server, *mails, window=window)
    assert [isinstance(end, Sent) for end in ends] == [number != 3 for number in range(8)]
    assert ruled.sessions == -(-8 // most)


@pytest.mark.parametrize("window", [1, 8])
@ways
def test_a_session_names_no_more_domains_than_it_may(offer, window):
    """RFC 9422, 4.3: a session's, over all its mails, and whatever their case."""
    named: dict[int, set[bytes]] = {}

    def rule(turn: Turn) -> bytes | None:
        if turn.verb == "RCPT":
            domains = named.setdefault(turn.session, set())
            domains.add(turn.line.rpartition(b"@")[2].lower())
            assert len(domains) <= 2
        return None

    to = ("a@one.example", "b@two.example", "c@ONE.example", "d@three.example", "e@four.example")
    ruled = Ruled(rule, with_limits(offer, b"RCPTDOMAINMAX=2"))
    mails = [a_mail(0, to=to), a_mail(1, to=("f@five.example",)), a_mail(2, to=("g@one.example",))]
    with scripted(ruled) as server:
        ends = sent(server, *mails, window=window)
    assert all(isinstance(end, Sent) for end in ends)
    assert sorted(ruled.recipients) == as_bytes((*to, "f@five.example", "g@one.example"))


def test_who_is_named_twice_gets_it_once_however_it_is_split():
    ruled = Ruled(offer=with_limits(OFFER_ALL, b"RCPTMAX=2"))
    with scripted(ruled) as server:
        sent(server, a_mail(to=("a@x.example", "b@x.example", "a@x.example", "c@x.example")))
    assert sorted(ruled.recipients) == [b"a@x.example", b"b@x.example", b"c@x.example"]


TWICE = [
    ("a@x.example", "b@x.example", "a@x.example"),
    ("a@x.example", "b@x.example", "a@X.Example"),
    ("a@x.example", "a@x.example", "b@x.example", "b@X.EXAMPLE", "a@x.example"),
]


@pytest.mark.parametrize("limit", [b"", b"RCPTMAX=2", b"RCPTMAX=1"])
@pytest.mark.parametrize("to", TWICE)
@pytest.mark.parametrize("reply", [b"452 4.5.3 too many recipients", b"550 5.5.0 already named"])
@ways
def test_who_is_named_twice_is_asked_for_once(offer, reply, to, limit):
    """In whatever case its domain is; what is said to the second is told of nobody."""
    ruled = Ruled(
        lambda turn: reply if turn.verb == "RCPT" and turn.named > 2 else None,
        with_limits(offer, limit) if limit else offer,
    )
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=to))
    assert isinstance(end, Sent)
    assert end.refused == {}
    assert sorted(ruled.recipients) == [b"a@x.example", b"b@x.example"]
    assert [verb for _, verb in ruled.turns].count("RCPT") == 2


def test_two_mailboxes_that_differ_in_case_are_two():
    ruled = Ruled()
    with scripted(ruled) as server:
        sent(server, a_mail(to=("a@x.example", "A@x.example")))
    assert sorted(ruled.recipients) == [b"A@x.example", b"a@x.example"]


@ways
def test_a_part_refused_for_now_by_its_session_has_one_more_and_is_then_told(offer):
    """The mail counts as taken, so nobody sends it again: the outcome names how many lack it."""

    def rule(turn: Turn) -> bytes | None:
        if turn.verb == "MAIL" and ruled.mails and (turn.session == 0 or lasts):
            return b"451 4.3.0 busy"
        return b"452 4.5.3 too many" if turn.verb == "RCPT" and turn.named > 2 else None

    for lasts in (False, True):
        ruled = Ruled(rule, offer)
        with scripted(ruled) as server:
            (end,) = sent(server, a_mail(to=people(5)))
        assert isinstance(end, Sent)
        assert len(end.refused) == (3 if lasts else 0)
        assert sorted(ruled.recipients) == as_bytes(people(2 if lasts else 5))


@ways
def test_a_refusal_of_one_is_told_and_keeps_nobody_else_from_it(offer):
    def rule(turn: Turn) -> bytes | None:
        if turn.verb != "RCPT":
            return None
        if b"bob3@" in turn.line or b"bob12@" in turn.line:
            return b"550 5.1.1 nobody"
        return b"452 4.5.3 too many" if turn.named > 10 else None

    ruled = Ruled(rule, offer)
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(25)))
    assert sorted(end.refused) == ["bob12@example.org", "bob3@example.org"]
    assert sorted(ruled.recipients) == as_bytes(set(people(25)) - set(end.refused))


@ways
def test_where_a_session_takes_no_more_at_all_a_new_one_does(offer):
    """The limit is of the session here, not of the mail."""
    counts: dict[int, int] = {}

    def rule(turn: Turn) -> bytes | None:
        if turn.verb != "RCPT":
            return None
        counts[turn.session] = counts.get(turn.session, 0) + 1
        return b"452 4.5.3 too many recipients" if counts[turn.session] > 10 else None

    ruled = Ruled(rule, offer)
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(25)))
    assert isinstance(end, Sent)
    assert end.refused == {}
    assert sorted(ruled.recipients) == as_bytes(people(25))


@ways
def test_those_whom_no_transaction_takes_are_refused_with_what_was_said(offer):
    ruled = Ruled(lambda turn: b"452 4.5.3 too many" if turn.verb == "RCPT" else None, offer)
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(3)))
    assert isinstance(end, RecipientsRefusedError)
    assert {reply.code for reply in end.recipients.values()} == {452}


@pytest.mark.parametrize("reply", [b"452 4.2.2 mailbox full", b"552 5.2.2 over quota"])
def test_a_full_mailbox_is_no_number_of_recipients(reply):
    ruled = Ruled(lambda turn: reply if b"bob1@" in turn.line else None)
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(3)))
    assert list(end.refused) == ["bob1@example.org"]
    assert len(ruled.mails) == 1


@ways
def test_after_a_part_in_doubt_nothing_more_is_sent(offer):
    """Who may have it must not get it with the others once more."""

    def rule(turn: Turn) -> bytes | None:
        if turn.verb in {"BDAT", "BODY"}:
            raise HangUpError
        return None

    ruled = Ruled(rule, with_limits(offer, b"RCPTMAX=10"))
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(25)))
    assert isinstance(end, WireError)
    assert end.in_doubt
    assert [verb for _, verb in ruled.turns].count("MAIL") == 1


@ways
def test_a_part_lost_after_another_was_taken_is_told_and_nobody_gets_it_twice(offer):
    """The mail counts as taken: sent again, it would be doubled for the first ten."""

    def rule(turn: Turn) -> bytes | None:
        if turn.verb in {"BDAT", "BODY"} and ruled.mails:
            raise HangUpError
        return None

    ruled = Ruled(rule, with_limits(offer, b"RCPTMAX=10"))
    with scripted(ruled) as server:
        (end,) = sent(server, a_mail(to=people(25)))
    assert isinstance(end, Sent)
    assert sorted(ruled.recipients) == as_bytes(people(10))
    assert set(end.refused) == set(people(25)) - set(people(10))
    assert {reply.code for reply in end.refused.values()} == {451}


@ways
def test_a_part_not_wanted_any_more_is_not_sent(offer):
    ruled = Ruled(offer=with_limits(offer, b"RCPTMAX=2"))
    mail = a_mail(to=people(5))
    asked = []

    def is_still_valid(about) -> bool:
        asked.append(about)
        return not ruled.mails

    with scripted(ruled) as server:
        (end,) = sent(server, mail, still_valid=is_still_valid)
    assert all(about is mail for about in asked)
    assert sorted(ruled.recipients) == as_bytes(people(2))
    assert len(end.refused) == 3


@pytest.mark.parametrize("count", [1, 100, 128, 129, 1000])
@ways
def test_any_number_of_recipients_gets_it(offer, count):
    ruled = Ruled(lambda turn: b"452 4.5.3 no" if turn.named > 100 else None, offer)
    with scripted(ruled) as server:
        backend = EmailBackend(alias="default", host=server.host, port=server.port, min_warm=0)
        try:
            mail = EmailMessage("Hello", "all", "alice@example.org", bcc=list(people(count)))
            assert backend.send_messages([mail]) == 1
            (outcome,) = backend.send_outcomes([mail])
        finally:
            smtp.close_pools()
    assert outcome.kind is Kind.ACCEPTED
    assert "refused" not in outcome.reply
    assert sorted(ruled.recipients) == sorted(as_bytes(people(count)) * 2)
