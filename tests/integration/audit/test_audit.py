"""What was done stays told, whatever anybody does afterwards."""

import importlib
from io import StringIO

import pytest
from django.core import serializers
from django.core.management import CommandError, call_command
from django.core.management.commands import flush as flush_of_django
from django.db import DatabaseError, connection, transaction

from otpmail import challenges, closing
from otpmail.addresses.requester import Client
from otpmail.db import append_only, database
from otpmail.models import AuditEntry, Challenge
from otpmail.testing import live_code
from tests import orders, rounds
from tests.rounds import wrong_code

pytestmark = pytest.mark.django_db(transaction=True)

locks = importlib.import_module("otpmail.migrations.0001_initial")

KIOSK = Client(address="192.0.2.1", credential="kiosk-7")


def issue(**changes):
    return rounds.promise(**{"client": KIOSK} | changes)


def verify(issued, typed, **changes):
    return rounds.verify(issued, typed, **{"client": KIOSK} | changes)


def actions():
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


def test_the_way_of_a_code_is_told(pass_time):
    issued = issue()
    verify(issued, wrong_code(issued))
    pass_time(issued.challenge_id, 61)
    challenges.resend("sign-in", issued.challenge_id, owner="alice", client=KIOSK)
    pass_time(issued.challenge_id, 420)
    challenges.resend("sign-in", issued.challenge_id, owner="alice", client=KIOSK)
    verify(issued, live_code(issued.challenge_id))
    assert actions() == [
        "issued",
        "mailed",
        "wrong",
        "resent",
        "mailed",
        "reissued",
        "mailed",
        "confirmed",
    ]


def test_each_end_is_told(pass_time, orders):
    spent, cancelled, expired = issue(), issue(owner="bob"), issue(owner="carol")
    for _ in range(5):
        verify(spent, wrong_code(spent))
    challenges.cancel("sign-in", cancelled.challenge_id, owner="bob")
    changed = issue(purpose="order", facts=place_order())
    change_order()
    verify(changed, "123456", purpose="order")
    pass_time(expired.challenge_id, 1801)
    closing.expire(now=database.now(), seconds=10)
    told = AuditEntry.objects.exclude(action__in=["issued", "mailed"]).order_by("pk")
    assert [(row.challenge_id, row.action) for row in told] == [
        *[(spent.challenge_id, "wrong")] * 5,
        (spent.challenge_id, "exhausted"),
        (cancelled.challenge_id, "cancelled"),
        (changed.challenge_id, "changed"),
        (expired.challenge_id, "expired"),
    ]


def place_order():
    return orders.place()


def change_order():
    orders.ORDER["payee"] = "acc-666"


def test_an_entry_tells_who_and_where_and_no_code():
    issued = issue()
    code = live_code(issued.challenge_id)
    verify(issued, code)
    row = AuditEntry.objects.get(action="confirmed")
    assert (row.recipient, row.address, row.credential) == (
        "a***@example.org",
        "192.0.2.1",
        "kiosk-7",
    )
    assert row.key_id == Challenge.objects.get().key_id
    dump = str(list(AuditEntry.objects.values()))
    assert "alice" not in dump
    assert f"'{code}'" not in dump


def test_what_is_rolled_back_is_not_told():
    issued = issue()

    def fail(challenge):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        verify(issued, live_code(issued.challenge_id), confirmed=fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        issue()
        raise RuntimeError
    assert actions() == ["issued", "mailed"]


def test_entry_outlives_its_challenge():
    issue()
    Challenge.objects.all().delete()
    assert actions() == ["issued", "mailed"]


def test_our_own_code_adds_and_does_nothing_else():
    issue()
    entry = AuditEntry.objects.first()
    with pytest.raises(TypeError, match="only added to"):
        AuditEntry.objects.update(action="confirmed")
    with pytest.raises(TypeError, match="only added to"):
        AuditEntry.objects.all().delete()
    with pytest.raises(TypeError, match="only added to"):
        entry.delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        entry.save()
    with pytest.raises(TypeError, match="only added to"):
        AuditEntry.objects.bulk_update([entry], ["action"])
    with pytest.raises(TypeError, match="only added to"):
        AuditEntry.objects.bulk_create([entry], update_conflicts=True, update_fields=["action"])


STATEMENTS = {
    "update": "UPDATE otpmail_auditentry SET action = 'confirmed'",
    "delete": "DELETE FROM otpmail_auditentry",
    "truncate": "TRUNCATE otpmail_auditentry",
}


@pytest.mark.parametrize("action", STATEMENTS)
def test_the_database_refuses_too(action):
    if action == "truncate" and connection.vendor != "postgresql":
        pytest.skip("SQLite has no TRUNCATE, and MariaDB no trigger on it")
    issue()
    assert_refused(action)
    assert actions() == ["issued", "mailed"]


def assert_refused(action):
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(STATEMENTS[action])


def test_the_lock_can_be_taken_away_and_laid_again():
    issue()
    with connection.schema_editor() as editor:
        locks.run(editor, locks.of_ours(connection.vendor)[1])
    try:
        with connection.cursor() as cursor:
            cursor.execute(STATEMENTS["delete"])
        assert actions() == []
    finally:
        for _ in range(2):  # after a run that was cut off, too
            with connection.schema_editor() as editor:
                locks.lock(None, editor)
    issue()
    assert_refused("delete")


@pytest.mark.parametrize("reset_sequences", [True, False])
@pytest.mark.parametrize("inhibit_post_migrate", [True, False])
def test_flush_empties_it_and_leaves_it_locked(reset_sequences, inhibit_post_migrate):
    """As a TransactionTestCase calls it after each test, and as a person does."""
    issue()
    call_command(
        "flush",
        interactive=False,
        verbosity=0,
        reset_sequences=reset_sequences,
        inhibit_post_migrate=inhibit_post_migrate,
    )
    assert actions() == []
    issue()
    for action in ("update", "delete"):
        assert_refused(action)
    assert actions() == ["issued", "mailed"]


def test_flush_that_fails_leaves_it_locked(monkeypatch):
    issue()
    monkeypatch.setattr(flush_of_django, "sql_flush", lambda *_, **__: ["DELETE FROM nowhere"])
    with pytest.raises(CommandError):
        call_command("flush", interactive=False, verbosity=0)
    issue()
    assert_refused("delete")


def test_flush_that_nobody_confirms_holds_no_lock_and_changes_nothing(monkeypatch):
    def answer(_question):
        assert not connection.in_atomic_block
        assert_refused("delete")
        return "no"

    issue()
    monkeypatch.setattr("builtins.input", answer)
    call_command("flush", stdout=StringIO())
    assert actions() == ["issued", "mailed"]


def test_flush_of_a_database_without_our_tables(settings, monkeypatch):
    monkeypatch.setattr(connection.introspection, "table_names", lambda *_, **__: [])
    assert append_only.lift(connection) == ([], [])


def test_sqlflush_prints_what_flush_runs():
    issue()
    told = call_command("sqlflush", stdout=StringIO())
    with connection.cursor() as cursor:
        for statement in told.splitlines():
            cursor.execute(statement)
    assert actions() == []
    issue()
    assert_refused("delete")


def test_rows_that_a_test_case_had_at_the_start_are_laid_again():
    """Django does so for ``serialized_rollback``, and for fixtures."""
    issue()
    told = serializers.serialize("json", AuditEntry.objects.all())
    call_command("flush", interactive=False, verbosity=0)
    for entry in serializers.deserialize("json", told):
        entry.save()
    assert actions() == ["issued", "mailed"]
