"""What is sent is what the ORM sends, for any values; and what is read is what the ORM reads."""

import contextlib
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from otpmail import audit
from otpmail.db import compat, database, sql_text, statements
from otpmail.db.statements import Delete, Find, Insert, Select, Update, add, change, inserting
from otpmail.delivery import leases
from otpmail.limits import suppressions
from otpmail.models import (
    Attempt,
    AuditEntry,
    Challenge,
    Counter,
    Delivery,
    DeliveryEvent,
    Suppression,
)
from otpmail.models.audit import AuditAction
from tests import rounds

pytestmark = pytest.mark.django_db(transaction=True)

MOMENTS = st.integers(0, 2**32).map(lambda second: datetime.fromtimestamp(second + 0.25, UTC))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)
VALUES = {
    "BigIntegerField": st.integers(-(2**63), 2**63 - 1),
    "BinaryField": st.binary(min_size=1, max_size=40),
    "BooleanField": st.booleans(),
    "CharField": TEXT,
    "DateTimeField": MOMENTS,
    "JSONField": st.dictionaries(TEXT, TEXT, max_size=3),
    "PositiveIntegerField": st.integers(0, 2**31 - 1),
    "PositiveSmallIntegerField": st.integers(0, 2**15 - 1),
    "TextField": TEXT,
    "UUIDField": st.uuids(),
}
KNOWN = statements.Statement.known
READING = [statement for statement in KNOWN if isinstance(statement, Select)]


class SentError(Exception):
    """What would have been sent: nothing was."""


def sent_by(act):
    """Give the text and the parameters of the statement that it sends first."""

    def note(execute, sql, params, many, context):
        if sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            return execute(sql, params, many, context)
        raise SentError(sql, [getattr(one, "obj", one) for one in params])

    with transaction.atomic():
        try:
            with connection.execute_wrapper(note), transaction.atomic():
                act()
        except SentError as sent:
            return sent.args
    raise AssertionError("it sent nothing")


def orms(statement, values):
    """Give what has the ORM do the same."""
    if isinstance(statement, Insert):
        return lambda: statement.query(**values).save(force_insert=True)
    found = statement.query(**values)
    match statement:
        case Update():
            return lambda: found[0].update(**found[1])
        case Delete():
            return found.delete
        case Select():
            return lambda: list(found)


def ours(statement, values):
    if isinstance(statement, Insert):
        return lambda: add(statement.query(**values))
    return lambda: statement(**values)


def drawn(data, statement):
    """Draw a value for each slot: of a column of a new row also None, if it may be."""
    values = {}
    for name, field in statement.fields.items():
        one = VALUES[sql_text.kind(field)]
        if name in statement.many:
            one = st.lists(one, min_size=1, max_size=5, unique=True)
        elif isinstance(statement, Insert) and field.null:
            one |= st.none()
        values[name] = data.draw(one)
    return values


@pytest.mark.parametrize("statement", KNOWN, ids=lambda known: known.name)
def test_what_is_sent_is_what_the_orm_sends(statement):
    @given(st.data())
    @settings(max_examples=50)
    def holds(data):
        values = drawn(data, statement)
        text, parameters = sent_by(ours(statement, values))
        theirs, their_parameters = sent_by(orms(statement, values))
        # Of a row that is added the ORM reads the key back, and nobody here needs it.
        assert text == (theirs.partition(" RETURNING ")[0] if is_insert else theirs)
        assert parameters == their_parameters

    is_insert = isinstance(statement, Insert)
    holds()


# What is read


@pytest.fixture
def rows(settings):
    """One row of each table, of one code."""
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_RECIPIENT_QUOTA = (10, 20)
    issued = rounds.promise(context={"name": "Zoë"})
    now = database.now()
    Delivery.objects.update(leased_by=rounds.ME, leased_until=now + timedelta(seconds=60))
    challenge = Challenge.objects.get(pk=issued.challenge_id)
    suppressions.suppress(challenge.recipient, DeliveryEvent.BOUNCED, since=now)
    found = [challenge, Delivery.objects.get(), Counter.objects.last(), Suppression.objects.get()]
    return {type(row): row for row in found}


@pytest.mark.parametrize("statement", READING, ids=lambda known: known.name)
def test_what_is_read_is_what_the_orm_reads(statement, rows):
    """Of rows that are leased and that are free, by moments before and after their own."""
    compared = 0
    for is_leased, seconds in itertools.product([True, False], [-1, 1]):
        if not is_leased:
            Delivery.objects.update(leased_by="", leased_until=None)
        values = {name: value_of(rows, field, seconds) for name, field in statement.fields.items()}
        values |= {name: [values[name]] for name in statement.many}
        with transaction.atomic():
            read, theirs = Select.__call__(statement, **values), [*statement.query(**values)]
        if isinstance(statement, Find):  # but for the clock
            read, theirs = ([row[:-1] for row in found] for found in (read, theirs))
        assert read == [[*row] for row in theirs]
        assert [[*map(type, row)] for row in read] == [[*map(type, row)] for row in theirs]
        compared += len(read)
    assert compared


def value_of(rows, field, seconds):
    """Give a value by which the row may be found."""
    value = getattr(rows[field.model], field.attname)
    return value + timedelta(seconds=seconds) if isinstance(value, datetime) else value


def test_rows_are_found_with_those_that_they_name_and_with_the_time(rows):
    before = database.now()
    ((delivery, at),) = leases.read([rows[Delivery].pk], rounds.ME)
    assert before <= at <= database.now()
    for row, same in ((delivery, rows[Delivery]), (delivery.challenge, rows[Challenge])):
        assert {**vars(row), "_state": None} == {**vars(same), "_state": None}
        assert (row._state.adding, row._state.db) == (False, database.alias())


# Several at once

RELEASE = Update(
    Delivery,
    lambda holder: (
        Delivery.objects.filter(leased_by=holder),
        {"leased_by": "", "leased_until": None},
    ),
    holder="leased_by",
)


def attempt(rows, route, **columns):
    row = Attempt(route=route, started_at=database.now(), took_ms=1, outcome="accepted", code=250)
    row.delivery = rows[Delivery]
    for name, value in columns.items():
        setattr(row, name, value)
    return row


def tried():
    """Tell what was added, in the order of keys that count."""
    return list(Attempt.objects.order_by("pk").values_list("route", "code", "reply"))


def test_what_depends_on_a_change_is_done_after_it_and_not_without_it(rows):
    then = attempt(rows, "a", reply="it's \\ 100 %"), attempt(rows, "b", code=None)
    assert change(RELEASE.bound(holder=rounds.ME), *map(inserting, then)) == 1
    assert tried() == [("a", 250, "it's \\ 100 %"), ("b", None, "")]
    again = inserting(attempt(rows, "c"))
    assert change(RELEASE.bound(holder=rounds.ME), again) == 0
    assert len(tried()) == 2


@pytest.mark.parametrize("in_a_transaction", [False, True])
def test_change_is_taken_back_if_what_depends_on_it_fails(rows, in_a_transaction):
    then = [attempt(rows, "a"), attempt(rows, "b", outcome="none")]
    with pytest.raises(IntegrityError), atomic(in_a_transaction):
        change(RELEASE.bound(holder=rounds.ME), *map(inserting, then))
    assert tried() == []
    assert Delivery.objects.get().leased_by == rounds.ME


def atomic(is_still_valid):
    return transaction.atomic() if is_still_valid else contextlib.nullcontext()


def test_rows_of_several_models_are_added_together(rows):
    challenge = rows[Challenge]
    challenge.pk = compat.uuid7()
    entries = audit.entries(AuditAction.ISSUED, challenge, now=database.now())
    tries = attempt(rows, "a"), attempt(rows, "b")
    with CaptureQueriesContext(connection) as sent:
        add(challenge, *entries, *tries)
    assert len(sent) == (1 if connection.vendor == "postgresql" else 3)
    assert Challenge.objects.count() == 2
    assert AuditEntry.objects.filter(challenge_id=challenge.pk).count() == 1
    assert [route for route, *_ in tried()] == ["a", "b"]


def test_many_rows_are_added_some_at_a_time_in_their_order(rows):
    routes = [str(number) for number in range(3 * statements.AT_ONCE + 1)]
    add(*(attempt(rows, route) for route in routes))
    assert [route for route, *_ in tried()] == routes


def test_rows_keep_their_order_among_other_statements_of_a_change(rows):
    mine = [inserting(attempt(rows, str(number))) for number in range(10)]
    others = [RELEASE.bound(holder="nobody") for _ in range(3)]
    between = [mine[0], others[0], *mine[1:4], others[1], *mine[4:], others[2]]
    assert change(RELEASE.bound(holder=rounds.ME), *between) == 1
    assert [route for route, *_ in tried()] == [str(number) for number in range(10)]


def test_slot_that_is_no_value_in_the_text_is_refused():
    some = Select(
        Counter, lambda most: Counter.objects.values_list("pk")[: most + 1], most="hour_until"
    )
    with pytest.raises(ValueError, match="most is not only a value in the text"):
        some(most=1)
    KNOWN.remove(some)
