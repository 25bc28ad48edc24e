"""The audit's chain, and locks that also withstand a replacing INSERT.

`locks` writes the triggers of one table. Each can be laid again, since MariaDB keeps those that went
well before one that failed. Two things are let through, and the chain tells of both: columns that
tell of a person may be emptied, and what a seal says is over may be deleted.
"""

from collections.abc import Callable
from importlib import import_module

from django.db import migrations, models, router
from django.db.models import Q

OLDER = import_module("otpmail.migrations.0002_append_only_audit")
BEFORE = import_module("otpmail.migrations.0006_held_and_superseded")

ENTRY, SEAL = "otpmail_auditentry", "otpmail_auditseal"
KEPT = ("id", "at", "deed", "challenge_id", "generation", "purpose", "key_id")
PERSONAL = ("recipient", "address", "credential", "recipient_mac", "subject_mac")
PRUNED = f"COALESCE((SELECT pruned FROM {SEAL} ORDER BY number DESC LIMIT 1), 0)"  # noqa: S608 - our own names
NEVER = "1 = 0"
DEEDS = [*BEFORE.DEEDS]


def emptied(binary=""):
    """Say in SQL that only what tells of a person changes, and only to nothing."""
    same = [f"{binary} NEW.{column} = {binary} OLD.{column}" for column in KEPT]
    return " AND ".join([*same, *(f"NEW.{column} = ''" for column in PERSONAL)])


def locks(vendor, table, *, unique=(("id",),), update=NEVER, delete=NEVER):
    """Give what locks a table and what unlocks it. Of other databases, nothing is known."""
    write: dict[str, Callable[..., list[str]]] = {
        "sqlite": _sqlite,
        "mysql": _mariadb,
        "postgresql": _postgresql,
    }
    if vendor not in write:
        return [], []
    off = [f"DROP TRIGGER IF EXISTS {table}_{lock}" for lock in ("no_update", "no_delete")]
    if vendor == "sqlite":
        off.append(f"DROP TRIGGER IF EXISTS {table}_no_replace")
    if vendor == "postgresql":
        off = [
            f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}",
            f"DROP TRIGGER IF EXISTS {table}_no_truncate ON {table}",
            f"DROP FUNCTION IF EXISTS {table}_refuse()",
        ]
    return write[vendor](table, unique, update, delete), off


def _sqlite(table, unique, update, delete):
    # A replacing INSERT fires no DELETE trigger there, so it is refused where a row would go.
    there = " OR ".join(
        "(" + " AND ".join(f"{column} = NEW.{column}" for column in columns) + ")"
        for columns in unique
    )
    cases = {
        "no_update": ("UPDATE", f"NOT ({update})"),
        "no_delete": ("DELETE", f"NOT ({delete})"),
        "no_replace": ("INSERT", f"EXISTS (SELECT 1 FROM {table} WHERE {there})"),  # noqa: S608 - our own names
    }
    return [
        f"CREATE TRIGGER {table}_{lock} BEFORE {deed} ON {table} WHEN {when} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for lock, (deed, when) in cases.items()
    ]


def _mariadb(table, _unique, update, delete):
    # REPLACE and ON DUPLICATE KEY UPDATE fire these. TRUNCATE fires none: it asks for DROP.
    return [
        f"CREATE TRIGGER {table}_no_{deed} BEFORE {deed} ON {table} FOR EACH ROW "
        f"IF NOT ({may}) THEN SIGNAL SQLSTATE '45000' "
        f"SET MESSAGE_TEXT = '{table} is append-only'; END IF"
        for deed, may in (("update", update), ("delete", delete))
    ]


def _postgresql(table, _unique, update, delete):
    # By row: Django loads a fixture by an UPDATE that may meet no row.
    return [
        f"CREATE OR REPLACE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' THEN IF {update} THEN RETURN NEW; END IF; END IF; "
        f"IF TG_OP = 'DELETE' THEN IF {delete} THEN RETURN OLD; END IF; END IF; "
        f"RAISE EXCEPTION '{table} is append-only'; END $$",
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()",
    ]


def run(schema_editor, statements, *, app_label="otpmail", model_name="auditentry"):
    """Run them on the database that the table is on."""
    if router.allow_migrate(schema_editor.connection.alias, app_label, model_name=model_name):
        for statement in statements:
            schema_editor.execute(statement)


def of_ours(vendor):
    """Give the locks of both tables, and what takes them off."""
    binary = "BINARY" if vendor == "mysql" else ""
    entry = locks(vendor, ENTRY, update=emptied(binary), delete=f"{PRUNED} >= OLD.id")
    seal = locks(vendor, SEAL, unique=(("number",),), delete=f"{PRUNED} >= OLD.last")
    return [*entry[0], *seal[0]], [*entry[1], *seal[1]]


def lock(_apps, schema_editor):
    """Lay the triggers, in the place of what an earlier run left."""
    on, off = of_ours(schema_editor.connection.vendor)
    run(schema_editor, [*off, *on])


def unlock(_apps, schema_editor):
    """Take them away, before the tables change."""
    run(schema_editor, OLDER.BY_VENDOR[schema_editor.connection.vendor][1])


def lock_again(_apps, schema_editor):
    """On the way back: lay those of before."""
    OLDER.lock(_apps, schema_editor)


def unlock_all(_apps, schema_editor):
    """On the way back: take ours away, and forget what the law of before does not know."""
    run(schema_editor, of_ours(schema_editor.connection.vendor)[1])
    run(schema_editor, [f"DELETE FROM {ENTRY} WHERE deed = 'erased'"])  # noqa: S608 - a constant


def law(deeds):
    return models.CheckConstraint(condition=Q(deed__in=deeds), name="otpmail_audit_deed")


NOOP = migrations.RunPython.noop


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0007_message_id_of_any_length")]

    operations = [
        migrations.RunPython(unlock, lock_again, atomic=False),
        migrations.AlterField(
            model_name="auditentry",
            name="deed",
            field=models.CharField(
                choices=[(deed, deed.title()) for deed in [*DEEDS, "erased"]], max_length=10
            ),
        ),
        BEFORE.RemoveConstraint(model_name="auditentry", name="otpmail_audit_deed"),
        BEFORE.AddConstraint(model_name="auditentry", constraint=law([*DEEDS, "erased"])),
        *(
            BEFORE.AddField(
                model_name="auditentry",
                name=name,
                field=models.CharField(blank=True, db_default="", max_length=64),
            )
            for name in ("recipient_mac", "subject_mac")
        ),
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                ("number", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("key_id", models.CharField(max_length=50)),
                ("after", models.PositiveBigIntegerField()),
                ("last", models.PositiveBigIntegerField()),
                ("missing", models.JSONField()),
                ("pruned", models.PositiveBigIntegerField()),
                ("entries", models.BinaryField()),
                ("previous", models.BinaryField(max_length=32)),
                ("digest", models.BinaryField(max_length=32)),
            ],
        ),
        migrations.RunPython(lock, unlock_all, atomic=False),
    ]
