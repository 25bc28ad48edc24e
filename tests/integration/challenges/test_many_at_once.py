"""Several people, several requests: nobody waits for a row that many share, and none is a deadlock.

Real transactions that cross; SQLite has one writer at a time, so there nothing can.
"""

import threading
from itertools import count

import pytest
from django.core import mail
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from otpmail import challenges
from otpmail.addresses.requester import Client
from otpmail.challenges import To
from otpmail.db import database
from otpmail.limits import counters
from otpmail.limits.counters import Allowance
from otpmail.models import AuditEntry, Challenge, Counter, Delivery, Suppression
from otpmail.results import Cap, InvalidAddress, Issued, OverCap
from otpmail.testing import live_code
from tests.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)
crossing = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")

OFFICE = Client(address="192.0.2.1")
ALICE = To(owner="alice", recipient="alice@example.org")
BOB = To(owner="bob", recipient="bob@example.org")


@pytest.fixture(autouse=True)
def caps(settings):
    settings.OTPMAIL_RECIPIENT_QUOTA = (200, 400)
    settings.OTPMAIL_CLIENT_QUOTA = (600, 900)
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"


def issue(to=ALICE, **named):
    return challenges.issue(
        "sign-in", owner=to.owner, recipient=to.recipient, client=OFFICE, **named
    )


def issue_many(*to, **named):
    return challenges.issue_many("sign-in", to, client=OFFICE, **named)


def rows():
    return Challenge.objects.count(), Delivery.objects.count(), AuditEntry.objects.count()


# What many share comes last


def resend(pass_time):
    issued = issue()
    pass_time(issued.challenge_id, 61)
    return lambda: challenges.resend("sign-in", issued.challenge_id, owner="alice", client=OFFICE)


@pytest.mark.parametrize("asked", ["issue", "issue_many", "resend"])
def test_shared_counters_are_the_last_that_is_written_and_one_statement(asked, pass_time):
    act = {
        "issue": lambda: issue,
        "issue_many": lambda: lambda: issue_many(ALICE, BOB),
        "resend": lambda: resend(pass_time),
    }[asked]()
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        act()
    written = [
        query["sql"]
        for query in captured
        if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))
    ]
    mails = 2 if asked == "issue_many" else 1
    assert "otpmail_counter" in written[-1]
    assert written[-1].count("'recipient'") == mails
    assert "'client'" in written[-1]
    assert not any("'client'" in sql or "'recipient'" in sql for sql in written[:-1])


@crossing
def test_an_office_is_served_while_one_of_its_requests_still_writes():
    issue()  # the office's counter is there
    served = threading.Event()

    def slow(execute, sql, params, many, context):
        if "INSERT INTO" in sql and "otpmail_delivery" in sql:
            assert served.wait(60), "the other request waited for this one"
        return execute(sql, params, many, context)

    def first():
        with connection.execute_wrapper(slow):
            return issue(To(owner="carol", recipient="carol@example.org"))

    def second():
        try:
            return issue(BOB)
        finally:
            served.set()

    results = at_once(first, second)
    assert [type(result) for result in results] == [Issued, Issued]


@crossing
def test_two_requests_that_mail_two_people_in_opposite_order_are_both_served():
    number = count()

    def many(*recipients):
        to = [To(owner=f"{next(number)}", recipient=recipient) for recipient in recipients]
        return issue_many(*to)

    two = "alice@example.org", "bob@example.org"
    crowd = [lambda: many(*two), lambda: many(*reversed(two))] * 16
    results = at_once(*crowd)
    assert all(isinstance(result, list) for result in results)
    taken = {row.kind: row for row in Counter.objects.exclude(kind="issues")}
    assert set(taken) == {"client", "recipient"}
    assert Delivery.objects.count() == 64


@crossing
def test_two_requests_for_two_owners_in_opposite_order_are_both_served():
    crowd = [lambda: issue_many(ALICE, BOB), lambda: issue_many(BOB, ALICE)] * 16
    assert all(isinstance(result, list) for result in at_once(*crowd))
    assert Challenge.objects.count() == 2


# A deadlock


@crossing
def test_what_ends_in_a_deadlock_is_done_once_more():
    now, tries = database.now(), []
    pair = [Allowance("test", name, (10, 20)) for name in "ab"]
    for one in pair:
        one.make(now)
    meet = threading.Barrier(2)

    def cross(first, second):
        tries.append(first.name)
        with database.atomic():
            first.count(now)
            if len(tries) <= 2:
                meet.wait(60)
            second.count(now)
        return "done"

    def act(first, second):
        return database.retry_if_deadlocked(lambda: cross(first, second))

    assert at_once(lambda: act(*pair), lambda: act(*reversed(pair))) == ["done", "done"]
    assert len(tries) == 3


@crossing
def test_in_a_transaction_of_the_callers_a_deadlock_is_the_callers_to_try_again():
    tries = []

    def act():
        tries.append(1)
        error = OperationalError(1213, "Deadlock found when trying to get lock")
        raise error

    with pytest.raises(OperationalError), transaction.atomic():
        database.retry_if_deadlocked(act)
    assert len(tries) == 1


@crossing
def test_issue_that_the_database_ends_to_break_a_deadlock_is_done_again():
    issue()
    issue(BOB)
    now = database.now()
    office = Allowance("client", OFFICE.counted_as, (600, 900))
    counter = Allowance("issues", "carol", ())
    counter.make(now)
    held, asks = threading.Event(), threading.Event()
    begun = []

    def note(execute, sql, params, many, context):
        if "INTO" in sql and "otpmail_audit" in sql:
            begun.append(1)
            held.wait(60)
        if begun and "INTO" in sql and "otpmail_counter" in sql:
            asks.set()
        return execute(sql, params, many, context)

    def ours():
        with connection.execute_wrapper(note):
            return issue(To(owner="carol", recipient="carol@example.org"))

    def theirs():
        asks_now = database.now()
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":  # it is ours that finds the deadlock
                cursor.execute("SET LOCAL deadlock_timeout = '1min'")
            Suppression.objects.bulk_create(  # much to take back, so MariaDB rather ends the other
                Suppression(
                    digest=f"{number:064x}",
                    reason="bounced",
                    created_at=asks_now,
                    until=asks_now + counters.KEPT,
                )
                for number in range(500)
            )
            office.count(asks_now)
            held.set()
            asks.wait(60)
            counter.row().update(kind="issues")  # theirs waits for ours, and ours for theirs

    result, _ = at_once(ours, theirs)
    assert isinstance(result, Issued)
    assert len(begun) == 2
    assert Challenge.objects.filter(owner="carol").count() == 1


# To several, or to none


def test_each_of_several_gets_a_code_of_their_own(settings):
    settings.OTPMAIL_ENGINE = "otpmail.engines.immediate.ImmediateEngine"
    issued = issue_many(ALICE, BOB)
    assert [type(one) for one in issued] == [Issued, Issued]
    found = [Challenge.objects.get(pk=one.challenge_id).owner for one in issued]
    assert found == ["alice", "bob"]
    assert [sent.to for sent in mail.outbox] == [["alice@example.org"], ["bob@example.org"]]
    for one, sent in zip(issued, mail.outbox, strict=True):
        assert live_code(one.challenge_id) in sent.body


@pytest.mark.parametrize("position", [0, 1])
def test_an_address_that_is_none_leaves_all_without(position):
    to = [ALICE, BOB]
    to.insert(position, To(owner="carol", recipient="carol"))
    refused = issue_many(*to)
    assert (refused.position, type(refused.why)) == (position, InvalidAddress)
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize("position", [0, 1])
def test_an_address_that_has_had_its_mails_leaves_all_without(settings, position):
    settings.OTPMAIL_RECIPIENT_QUOTA = (1, 1)
    issue(To(owner="carol", recipient="carol@example.org"))
    before = rows()
    to = [ALICE, BOB]
    to.insert(position, To(owner="carl", recipient="carol+1@example.org"))
    refused = issue_many(*to)
    assert (refused.position, refused.why.cap) == (position, Cap.RECIPIENT)
    assert rows() == before
    assert isinstance(issue(ALICE), Issued)


def test_several_count_as_several_against_the_client_and_the_mailbox(settings):
    settings.OTPMAIL_CLIENT_QUOTA = (3, 3)
    assert isinstance(issue_many(ALICE, BOB), list)
    assert issue_many(*(To(owner=name, recipient=f"{name}@x.example") for name in "cd")).why.cap
    assert isinstance(issue(To(owner="e", recipient="e@example.org")), Issued)
    settings.OTPMAIL_CLIENT_QUOTA = ()
    settings.OTPMAIL_RECIPIENT_QUOTA = (2, 2)
    same = [To(owner=str(number), recipient="f@example.org") for number in range(3)]
    assert issue_many(*same).why.cap is Cap.RECIPIENT
    assert isinstance(issue_many(*same[:2]), list)


def test_of_sixty_four_pairs_at_once_five_are_mailed(settings):
    settings.OTPMAIL_RECIPIENT_QUOTA = (10, 20)
    number = count()

    def pair():
        one, two = (To(owner=str(next(number)), recipient="a@example.org") for _ in range(2))
        return issue_many(one, two)

    results = at_once(*[pair] * 64)
    assert sum(isinstance(result, list) for result in results) == 5
    assert Delivery.objects.count() == 10


def test_whose_room_another_takes_at_this_moment_is_refused_and_leaves_nothing(settings):
    settings.OTPMAIL_RECIPIENT_QUOTA = (1, 1)
    others = []

    def race(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and "hour_until" in sql and not others:
            others.append(1)
            if connection.vendor == "sqlite":  # there it can only be this very transaction
                Allowance("recipient", "alice@example.org", (1, 1)).take(database.now())
            else:
                at_once(lambda: issue(To(owner="carol", recipient=ALICE.recipient)))
        return result

    with transaction.atomic():
        with connection.execute_wrapper(race):
            refused = issue()
        assert isinstance(refused, OverCap)
        assert not Challenge.objects.filter(owner="alice").exists()
        assert isinstance(issue(BOB), Issued)  # the caller's transaction goes on
    assert Challenge.objects.filter(owner="bob").exists()


def test_nobody_is_an_error():
    with pytest.raises(ValueError, match="nobody"):
        issue_many()


# One person several times


def to_alice(*numbers):
    return [To(owner="alice", recipient=f"alice{number}@example.org") for number in numbers]


def states(issued):
    return [Challenge.objects.get(pk=one.challenge_id).state for one in issued]


def test_more_addresses_of_one_person_than_may_have_a_code_are_refused(settings):
    settings.OTPMAIL_OPEN_CHALLENGES = 2
    with pytest.raises(ValueError, match="more than 2 addresses"):
        issue_many(*to_alice(1, 2, 3))
    assert rows() == (0, 0, 0)


def test_same_address_twice_is_one(settings):
    settings.OTPMAIL_OPEN_CHALLENGES = 2
    first, second, again = issue_many(*to_alice(1, 2, 1))
    assert (again.challenge_id, again.continued) == (first.challenge_id, True)
    assert states([first, second]) == ["pending", "pending"]


@pytest.mark.parametrize("before", [(), (1,), (2,), (1, 2), (2, 1), (8, 9), (8, 1), (1, 8)])
@pytest.mark.parametrize("asked", [(1, 2), (2, 1)])
def test_no_call_ends_what_it_issues(settings, before, asked):
    settings.OTPMAIL_OPEN_CHALLENGES = 2
    for to in to_alice(*before):
        issue(to)
    issued = issue_many(*to_alice(*asked))
    assert states(issued) == ["pending", "pending"]
    assert Challenge.objects.filter(state="pending").count() == 2
