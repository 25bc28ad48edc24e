"""Audit and ledger are added to and never changed, whatever statement tries."""

import contextlib
import importlib
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, models, transaction

from mobile_api.models import Entry
from otpmail.audit import chain
from otpmail.db import database
from otpmail.db.database import RowSet
from otpmail.models import AuditEntry, AuditSeal
from tests.rounds import promise

pytestmark = pytest.mark.django_db(transaction=True)

OF = {"audit": AuditEntry, "seals": AuditSeal, "ledger": Entry}
CHANGED = {"audit": "purpose", "seals": "key_id", "ledger": "amount_minor"}
TO = {"audit": "'another'", "seals": "'another'", "ledger": "1"}


@pytest.fixture
def row(request, table):
    if table == "ledger":
        request.getfixturevalue("ledger")
    promise()
    chain.seal(now=database.now())
    return OF[table].objects.first()


@pytest.fixture
def ledger():
    from django.utils import timezone

    from mobile_api import ledger
    from mobile_api.models import Account, AccountKind, Member, Transfer

    till = Account.objects.create(number="0", currency="EUR", kind=AccountKind.COOPERATIVE)
    alice = Member.objects.create(number="1", name="Alice", email="alice@example.org")
    account = Account.objects.create(number="1", currency="EUR", member=alice)
    now = timezone.now()
    transfer = Transfer.objects.create(
        payer=till, payee=account, amount_minor=100, currency="EUR", created_at=now
    )
    assert ledger.post(transfer, now=now)


def columns(model):
    return [field.column for field in model._meta.concrete_fields]


def copied(table, *, other_id=False):
    """Give the SELECT of the first row as it stands, but for one column, and maybe its id."""
    model = OF[table]
    key = model._meta.pk.column
    values = {column: column for column in columns(model)} | {CHANGED[table]: TO[table]}
    if other_id:
        values[key] = f"{key} + 1000"
    return (
        f"INTO {model._meta.db_table} ({', '.join(values)}) SELECT {', '.join(values.values())} "
        f"FROM {model._meta.db_table} ORDER BY {key} LIMIT 1"
    )


def statements(table, vendor):
    model = OF[table]
    name, key, column = model._meta.db_table, model._meta.pk.column, CHANGED[table]
    change = f"{column} = {TO[table]}"
    yield f"UPDATE {name} SET {change}"
    yield f"UPDATE {name} SET {change} WHERE {key} > 0"
    yield f"DELETE FROM {name}"
    yield f"DELETE FROM {name} WHERE {key} > 0"
    if vendor == "sqlite":
        yield f"INSERT OR REPLACE {copied(table)}"
        yield f"REPLACE {copied(table)}"
        source = copied(table).replace(" ORDER BY", " WHERE true ORDER BY")  # else ON is a join's
        yield f"INSERT {source} ON CONFLICT ({key}) DO UPDATE SET {change}"
        yield f"UPDATE OR REPLACE {name} SET {change}"
        if table == "ledger":
            yield f"INSERT OR REPLACE {copied(table, other_id=True)}"
    if vendor == "postgresql":
        yield f"INSERT {copied(table)} ON CONFLICT ({key}) DO UPDATE SET {change}"
        yield f"TRUNCATE {name}"
        yield f"TRUNCATE {name} CASCADE"
        yield (
            f"MERGE INTO {name} AS t USING (SELECT 1) AS s ON true WHEN MATCHED THEN "
            f"UPDATE SET {change}"
        )
    if vendor == "mysql":
        yield f"REPLACE {copied(table)}"
        yield f"INSERT {copied(table)} ON DUPLICATE KEY UPDATE {name}.{change}"
        if table == "ledger":
            yield f"REPLACE {copied(table, other_id=True)}"


@pytest.mark.parametrize("table", OF)
def test_no_statement_changes_or_deletes_a_row(table, row):
    before = list(OF[table].objects.values())
    for statement in statements(table, connection.vendor):
        with (
            pytest.raises(DatabaseError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
        assert list(OF[table].objects.values()) == before, statement


@pytest.mark.parametrize("table", OF)
def test_no_way_round_our_own_rows_changes_one(table, row):
    plain = RowSet(OF[table])
    key, column = OF[table]._meta.pk.name, CHANGED[table]
    setattr(row, column, 7 if table == "ledger" else "another")
    ways = [
        lambda: plain.update(**{column: getattr(row, column)}),
        lambda: plain.bulk_update([row], [column]),
        lambda: plain.filter(**{f"{key}__gt": 0}).delete(),
        lambda: plain.all()._raw_delete(plain.db),
        lambda: models.Model.save_base(row, raw=True, force_update=True),
        lambda: models.Model.save(row),
        lambda: plain.update_or_create(**{key: row.pk}, defaults={column: getattr(row, column)}),
    ]
    if connection.features.supports_update_conflicts:
        unique = {"unique_fields": [key]} if connection.vendor != "mysql" else {}
        ways.append(
            lambda: plain.bulk_create(
                [row], update_conflicts=True, update_fields=[column], **unique
            )
        )
    before = list(OF[table].objects.values())
    for number, way in enumerate(ways):
        with pytest.raises((DatabaseError, TypeError)), transaction.atomic():
            way()
        assert list(OF[table].objects.values()) == before, number


def test_only_emptying_what_tells_of_a_person_passes_and_nothing_with_it():
    promise()
    plain = RowSet(AuditEntry)
    nobody = dict.fromkeys(["recipient", "address", "credential", "recipient_mac", "owner_mac"], "")
    for changes in (
        {"recipient": "m***@example.org"},
        {"recipient": ""},
        nobody | {"action": "wrong"},
        nobody | {"purpose": "Sign-In"},
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            plain.update(**changes)
    assert plain.update(**nobody) == 2


def test_rows_may_be_added_in_each_way():
    promise()
    entry = AuditEntry.objects.first()
    entry.pk = None
    AuditEntry.objects.bulk_create([entry])
    entry.pk = None
    entry.save()
    entry.pk = 10**6
    models.Model.save_base(entry, raw=True)
    assert AuditEntry.objects.count() == 5


def test_the_locks_can_be_laid_twice():
    locks = importlib.import_module("otpmail.migrations.0001_initial")
    with connection.schema_editor() as editor:
        locks.lock(None, editor)
    promise()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        RowSet(AuditEntry).update(action="wrong")


@pytest.fixture
def old():
    """Three entries and three seals of long ago."""
    at = database.now() - timedelta(days=100)
    promise()
    entry = AuditEntry.objects.last()
    for _ in range(3):
        entry.pk, entry.at = None, at
        entry.save()
        chain.seal(now=at)


def seal_by_hand(**changes):
    """Copy the newest seal as the next one, but for what is given."""
    names = columns(AuditSeal)
    values = {name: name for name in names} | {"number": "number + 1", "after": "last"} | changes
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO otpmail_auditseal ({', '.join(names)}) "
            f"SELECT {', '.join(map(str, values.values()))} FROM otpmail_auditseal "
            "ORDER BY number DESC LIMIT 1"
        )


FORGED = [
    {"number": 999},
    {"number": "number"},
    {"number": 0},
    {"after": "last - 1"},
    {"after": "last + 1", "last": "last + 1"},
    {"last": 9 * 10**9},
    {"last": "last - 1"},
    {"pruned": "last + 1"},
    {"pruned": 9 * 10**9},
    {"number": 999, "last": 9 * 10**9, "pruned": 9 * 10**9},
]


@pytest.mark.parametrize("changes", FORGED, ids=str)
def test_only_the_next_seal_is_taken(old, changes):
    with pytest.raises(DatabaseError, match="append-only"):
        seal_by_hand(**changes)
    assert AuditSeal.objects.count() == 3


def test_seal_says_no_less_than_the_one_before_that_time_is_over(old):
    seal_by_hand(pruned="last")
    with pytest.raises(DatabaseError, match="append-only"):
        seal_by_hand(pruned=0)


def test_forged_seal_deletes_nothing_of_the_last_days_and_is_told(old):
    promise()
    chain.seal(now=database.now())
    young = set(AuditEntry.objects.filter(at__gt=database.now() - timedelta(days=6)))
    seal_by_hand(pruned="last")
    for model in (AuditEntry, AuditSeal):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            RowSet(model).all()._raw_delete("default")
        for row in model.objects.all():
            with contextlib.suppress(DatabaseError), transaction.atomic():
                RowSet(model).filter(pk=row.pk)._raw_delete("default")
    assert young <= set(AuditEntry.objects.all())
    assert list(AuditSeal.objects.order_by("pk").values_list("pk", flat=True))[-2:] == [4, 5]
    assert "seal 5 was changed" in list(chain.problems())
