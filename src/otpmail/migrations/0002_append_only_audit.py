"""The database itself refuses to change or delete what the audit tells.

The text of the triggers is here and nowhere else: a migration does not change with the code. What
must empty the table (`otpmail.db.append_only.lift`) finds them by their names. A later migration that
alters the table must lay them anew on SQLite, where the table is then made anew.

Each statement can be repeated, since MariaDB keeps those that went well before one that failed.
"""

from collections import defaultdict

from django.db import migrations, router

TABLE = "otpmail_auditentry"
REFUSAL = f"{TABLE} is append-only"

OFF_BY_ROW = [f"DROP TRIGGER IF EXISTS {TABLE}_no_{deed}" for deed in ("update", "delete")]
SQLITE = [
    f"CREATE TRIGGER {TABLE}_no_{deed} BEFORE {deed} ON {TABLE} "
    f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    for deed in ("update", "delete")
]
MARIADB = [
    f"CREATE TRIGGER {TABLE}_no_{deed} BEFORE {deed} ON {TABLE} FOR EACH ROW "
    f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSAL}'"
    for deed in ("update", "delete")
]
# By row as on the others: Django loads a fixture by an UPDATE that may meet no row.
POSTGRESQL = [
    f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
    f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE} "
    f"FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()",
    f"CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE} "
    f"FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()",
]
OFF_POSTGRESQL = [
    f"DROP TRIGGER IF EXISTS {TABLE}_append_only ON {TABLE}",
    f"DROP TRIGGER IF EXISTS {TABLE}_no_truncate ON {TABLE}",
    f"DROP FUNCTION IF EXISTS {TABLE}_refuse()",
]
BY_VENDOR = defaultdict(
    lambda: ([], []),
    {
        "sqlite": (SQLITE, OFF_BY_ROW),
        "mysql": (MARIADB, OFF_BY_ROW),
        "postgresql": (POSTGRESQL, OFF_POSTGRESQL),
    },
)
"""What locks, and what unlocks. Of other databases, nothing is known."""


def lock(_apps, schema_editor):
    """Lay the triggers, in the place of what an earlier run left."""
    on, off = BY_VENDOR[schema_editor.connection.vendor]
    run(schema_editor, [*off, *on])


def unlock(_apps, schema_editor):
    """Take the triggers away."""
    run(schema_editor, BY_VENDOR[schema_editor.connection.vendor][1])


def run(schema_editor, statements):
    """Run them on the database that the audit is on."""
    if router.allow_migrate(schema_editor.connection.alias, "otpmail", model_name="auditentry"):
        for statement in statements:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0001_initial")]

    # Not atomic by itself: where DDL can be rolled back, the migration already is; elsewhere
    # (MariaDB) Django refuses DDL inside a transaction.
    operations = [migrations.RunPython(lock, unlock, atomic=False)]
