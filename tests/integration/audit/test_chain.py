"""Who changes, adds or takes away what the audit tells is found out, and erasing breaks nothing."""

import importlib
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction

from otpmail import audit, challenges
from otpmail.audit import chain
from otpmail.crypto import keys
from otpmail.db import database
from otpmail.db.database import RowSet
from otpmail.exceptions import NotHereError
from otpmail.models import AuditEntry, AuditSeal, Challenge
from otpmail.operations import privacy
from tests.crowd import at_once
from tests.rounds import promise

pytestmark = pytest.mark.django_db(transaction=True)

locks = importlib.import_module("otpmail.migrations.0001_initial")


@pytest.fixture(autouse=True)
def _no_mail(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_KEYS = {"k": keys.new()}


@pytest.fixture
def unlocked():
    """Take the locks away, as whoever owns the tables can."""
    with connection.schema_editor() as editor:
        locks.run(editor, locks.of_ours(connection.vendor)[1])
    yield
    with connection.schema_editor() as editor:
        locks.lock(None, editor)


def entries():
    return RowSet(AuditEntry)


def seals():
    return RowSet(AuditSeal)


def sealed(count=3):
    """Write so many entries, a seal each."""
    for _ in range(count):
        promise()
        chain.seal(now=database.now())
    return list(AuditEntry.objects.order_by("pk"))


def faults(expected=""):
    return list(chain.problems(expected))


def test_what_nobody_touched_is_whole():
    sealed()
    promise()
    assert faults() == []
    seals = list(AuditSeal.objects.order_by("number"))
    assert len(seals) == 3
    assert AuditEntry.objects.filter(pk__gt=seals[-1].last).count() == 1


def test_command_seals_what_is_new_and_tells_the_last_seal(capsys):
    sealed()
    promise()
    call_command("otpmail_audit")
    told = capsys.readouterr().out
    assert f"The audit is whole. Its last seal: {chain.anchor()}" in told
    assert chain.anchor().startswith("4:")
    call_command("otpmail_audit", expect=chain.anchor())


@pytest.mark.parametrize("column", ["at", "action", "purpose", "generation", "key_id"])
def test_entry_that_was_changed_is_named(unlocked, column):
    _, entry, _ = sealed()
    new = {"at": entry.at + timedelta(milliseconds=1), "generation": 2, "action": "wrong"}
    entries().filter(pk=entry.pk).update(**{column: new.get(column, "another")})
    assert faults() == [f"entry {entry.pk} was changed"]
    with pytest.raises(CommandError, match="1 faults"):
        call_command("otpmail_audit")


@pytest.mark.parametrize("column", ["recipient", "address", "credential"])
@pytest.mark.parametrize("value", ["m***@example.org", "emptied"])
def test_who_changes_what_is_told_of_a_person_is_found_out(unlocked, column, value):
    _, entry, _ = sealed()
    emptied = dict.fromkeys(
        ["recipient", "address", "credential", "recipient_mac", "owner_mac"], ""
    )
    changes = emptied if value == "emptied" else {column: value}
    entries().filter(pk=entry.pk).update(**changes)
    assert faults() == [f"entry {entry.pk} was changed in what it tells of a person"]


def test_entry_that_was_deleted_is_named(unlocked):
    _, entry, _ = sealed()
    entries().filter(pk=entry.pk).delete()
    assert faults() == [f"entry {entry.pk} is missing"]


def test_entry_that_was_added_later_is_named(unlocked):
    first, *_ = sealed()
    entries().filter(pk=first.pk).delete()
    first.challenge_id = Challenge.objects.last().pk
    entries().bulk_create([first])
    assert faults() == [f"entry {first.pk} was changed"]


def test_entry_beside_the_chain_is_named(unlocked):
    entry = sealed()[0]
    entry.pk += 1000
    models.Model.save_base(entry, raw=True)
    promise()
    chain.seal(now=database.now())
    RowSet(AuditSeal).filter(number=4).update(missing=[])
    said = faults()
    assert "seal 4 was changed" in said
    beside = AuditEntry.objects.get(pk=entry.pk)
    beside.pk -= 500
    models.Model.save_base(beside, raw=True)
    assert f"entry {beside.pk} was added beside the chain" in faults()


@pytest.mark.parametrize(
    "change", [{"last": 99}, {"pruned": 99}, {"entries": b""}, {"missing": [1]}, {"key_id": "k2"}]
)
def test_seal_that_was_changed_is_named(unlocked, settings, change):
    settings.OTPMAIL_KEYS = {**settings.OTPMAIL_KEYS, "k2": keys.new()}
    sealed()
    seals().filter(number=2).update(**change)
    assert "seal 2 was changed" in faults()


def test_seal_that_is_gone_is_missed(unlocked):
    sealed()
    seals().filter(number=2).delete()
    assert "seals before 3 are missing" in faults()
    seals().filter(number=1).delete()
    assert "seals before 3 are missing" in faults()


def test_end_that_was_cut_off_is_found_by_a_seal_kept_elsewhere(unlocked):
    *_, last = sealed()
    kept = chain.anchor()
    seals().filter(number=3).delete()
    entries().filter(pk=last.pk).delete()
    assert faults() == []
    assert faults(kept) == ["seal 3 is not the one that was expected"]


def test_chain_that_was_made_without_the_key_is_none(unlocked, settings):
    sealed()
    ring = settings.OTPMAIL_KEYS
    settings.OTPMAIL_KEYS = {"k": keys.new()}
    seals().all().delete()
    chain.seal(now=database.now())
    settings.OTPMAIL_KEYS = ring
    assert "seal 1 was changed" in faults()


def test_entry_that_is_committed_late_is_sealed_later():
    sealed()
    late = AuditEntry.objects.last()
    late.pk += 1
    promise()
    newest = AuditEntry.objects.last()
    shifted = newest.pk + 5
    newest.pk = shifted
    models.Model.save_base(newest, raw=True)  # ids in between belong to whoever is not ready
    chain.seal(now=database.now())
    late.pk = shifted - 2
    models.Model.save_base(late, raw=True)
    assert faults() == []
    chain.seal(now=database.now())
    assert faults() == []
    models_row = AuditSeal.objects.get(number=5)
    assert models_row.last == shifted
    assert late.pk not in models_row.missing


def test_sweeps_at_once_seal_each_entry_once():
    for _ in range(5):
        promise()
    at_once(*[lambda: chain.seal(now=database.now())] * 6)
    chain.seal(now=database.now())
    assert faults() == []
    assert sum(len(bytes(one.entries)) for one in AuditSeal.objects.all()) == 5 * 72


def test_more_than_a_seal_holds_is_sealed_in_several(monkeypatch):
    monkeypatch.setattr(chain, "STEP", 2)
    for _ in range(5):
        promise()
    now = database.now()
    assert [chain.seal(now=now), chain.seal(now=now), chain.seal(now=now)] == [True, True, False]
    assert faults() == []


def test_chain_goes_on_over_a_rotation_of_its_key_and_waits_for_one_that_is_away(settings):
    sealed()
    settings.OTPMAIL_KEYS = {"new": keys.new(), **settings.OTPMAIL_KEYS}
    sealed(1)
    assert faults() == []
    assert AuditSeal.objects.last().key_id == "new"
    settings.OTPMAIL_KEY_CLASS, settings.OTPMAIL_KEYS = "tests.keys.Service", {"hsm": "slot 7"}
    settings.OTPMAIL_REVOKED_KEYS = ["hsm"]
    promise_without_a_key()
    assert not chain.seal(now=database.now())


def promise_without_a_key():
    entry = AuditEntry.objects.last()
    entry.pk = None
    entry.save()


def test_erased_person_is_masked_and_the_chain_is_whole():
    promise(recipient="alice@example.org")
    promise(owner="bob", recipient="bob@example.org")
    chain.seal(now=database.now())
    privacy.erase(recipient="alice@example.org")
    assert faults() == []
    chain.seal(now=database.now())
    assert faults() == []
    told = AuditEntry.objects.order_by("pk").values_list("action", "recipient")
    assert list(told) == [
        ("issued", ""),
        ("issued", "b***@example.org"),
        ("cancelled", ""),
        ("erased", ""),
    ]


@pytest.mark.parametrize("whose", [{"recipient": "Alice@example.org"}, {"owner": "alice"}])
def test_what_outlived_its_challenge_is_told_and_masked(whose):
    issued = promise(recipient="alice@example.org")
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    Challenge.objects.all().delete()
    (told,) = privacy.export(**whose)
    assert told["id"] == issued.challenge_id
    assert [entry["action"] for entry in told["audit"]] == ["issued", "cancelled"]
    privacy.erase(**whose)
    assert not AuditEntry.objects.exclude(recipient="", recipient_mac="", owner_mac="").exists()
    assert privacy.export(**whose) == []


def test_export_tells_the_audit_of_each_challenge():
    promise(recipient="alice@example.org")
    promise(owner="bob", recipient="bob@example.org")
    (told,) = privacy.export(recipient="alice@example.org")
    assert [(entry["action"], entry["recipient"]) for entry in told["audit"]] == [
        ("issued", "a***@example.org")
    ]


def aged(at):
    """Write one entry, and its seal, as if it had been then."""
    entry = AuditEntry(
        at=at, action="issued", challenge_id=uuid4(), generation=1, purpose="sign-in", key_id="k"
    )
    entry.save()
    chain.seal(now=at)
    return entry.pk


def test_only_prune_deletes_and_the_chain_is_whole(settings, capsys):
    settings.OTPMAIL_AUDIT_KEEP_DAYS = 10
    now = database.now()
    old = [aged(now - timedelta(days=days)) for days in (12, 11, 2)]
    kept = chain.anchor()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entries().all().delete()
    call_command("otpmail_prune")
    assert "deleted 2 entries of the audit" in capsys.readouterr().out
    assert list(AuditEntry.objects.values_list("pk", flat=True)) == old[2:]
    assert list(AuditSeal.objects.order_by("number").values_list("number", flat=True)) == [3, 4]
    assert faults(kept) == []
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entries().all().delete()
    call_command("otpmail_prune")
    promise()
    chain.seal(now=database.now())
    assert faults() == []


def test_newest_seal_stays_when_all_is_over(settings):
    settings.OTPMAIL_AUDIT_KEEP_DAYS = 10
    now = database.now()
    aged(now - timedelta(days=30))
    assert chain.prune(now=now - timedelta(days=15)) == 1
    assert chain.prune(now=now) == 0
    assert chain.prune(now=now + timedelta(days=30)) == 0
    assert list(AuditSeal.objects.values_list("number", flat=True)) == [2]
    aged(now)
    assert faults() == []


def test_entry_that_is_younger_than_the_setting_stays_whatever_its_seal_says(settings):
    settings.OTPMAIL_AUDIT_KEEP_DAYS = 10
    promise()
    chain.seal(now=database.now() - timedelta(days=11))
    assert chain.prune(now=database.now()) == 0
    assert AuditEntry.objects.count() == 1


def test_audit_without_any_seal_is_told(unlocked, capsys):
    assert faults() == []
    promise()
    told = "there is no seal: none was made yet, or all were taken away"
    assert faults() == [told]
    with pytest.raises(CommandError, match="1 faults"):
        call_command("otpmail_audit")
    call_command("otpmail_audit")  # the first begins the chain
    entries().all().delete()
    seals().all().delete()
    assert faults() == [told]


def test_seal_under_a_key_that_is_not_here_is_told_and_the_walk_goes_on(settings):
    settings.OTPMAIL_KEYS = {"gone": keys.new(), **settings.OTPMAIL_KEYS}
    sealed(2)
    settings.OTPMAIL_KEYS = {"k": settings.OTPMAIL_KEYS["k"]}
    sealed(1)
    assert faults() == [
        f"seal {number} stands under a key that is not here: 'gone'" for number in (1, 2)
    ]
    settings.OTPMAIL_REVOKED_KEYS = ["gone"]
    assert faults() == [f"seal {number} stands under 'gone', which is revoked" for number in (1, 2)]


def test_who_prunes_more_than_was_over_is_found_out(settings, unlocked):
    settings.OTPMAIL_AUDIT_KEEP_DAYS = 10
    now = database.now()
    for days in (12, 5, 4):
        aged(now - timedelta(days=days))
    chain.prune(now=now)
    assert faults() == []
    gone = AuditSeal.objects.get(number=2)
    entries().filter(pk__lte=gone.last).delete()
    seals().filter(number=2).delete()
    assert "seals before 3 are missing" in faults()


def test_audit_is_kept_for_good_where_the_setting_is_nought(settings):
    settings.OTPMAIL_AUDIT_KEEP_DAYS = 0
    promise()
    chain.seal(now=database.now() - timedelta(days=10_000))
    assert chain.prune(now=database.now()) == 0
    assert AuditEntry.objects.count() == 1


def test_audit_knows_nobody_by_another_key(settings):
    promise(recipient="alice@example.org")
    assert len(audit.challenges_of("alice@example.org", None)) == 1
    settings.OTPMAIL_KEYS = {"other": keys.new()}
    for tell in (privacy.export, privacy.erase):
        with pytest.raises(NotHereError, match="'k'"):
            tell(recipient="alice@example.org")
    for command in ("otpmail_export", "otpmail_erase"):
        with pytest.raises(CommandError, match="'k'"):
            call_command(command, "alice@example.org")
    assert AuditEntry.objects.exclude(recipient="").exists()


def test_entries_under_a_revoked_key_are_told_of_when_a_person_asks(settings, capsys):
    promise(recipient="alice@example.org")
    Challenge.objects.all().delete()
    settings.OTPMAIL_KEYS, settings.OTPMAIL_REVOKED_KEYS = {"other": keys.new()}, ["k"]
    assert audit.challenges_of("alice@example.org", None) == set()
    for command in ("otpmail_export", "otpmail_erase"):
        call_command(command, "alice@example.org")
        assert "'k', which is revoked: nobody can tell" in capsys.readouterr().err
