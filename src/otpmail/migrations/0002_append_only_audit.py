"""The database itself refuses to change or delete what the audit tells.

Not in the database of a test run, which is emptied after a test. A later migration that alters the
table must lay the triggers anew on SQLite, where the table is then made anew.
"""

from collections import defaultdict

from django.core import mail
from django.db import migrations, router

TABLE = "otpmail_auditentry"
REFUSAL = f"{TABLE} is append-only"

SQLITE = (
    [
        f"CREATE TRIGGER {TABLE}_no_{deed} BEFORE {deed} ON {TABLE} "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        for deed in ("update", "delete")
    ],
    [f"DROP TRIGGER IF EXISTS {TABLE}_no_{deed}" for deed in ("update", "delete")],
)
MARIADB = (
    [
        f"CREATE TRIGGER {TABLE}_no_{deed} BEFORE {deed} ON {TABLE} FOR EACH ROW "
        f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSAL}'"
        for deed in ("update", "delete")
    ],
    [f"DROP TRIGGER IF EXISTS {TABLE}_no_{deed}" for deed in ("update", "delete")],
)
POSTGRESQL = (
    [
        f"CREATE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
        f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()",
    ],
    [
        f"DROP TRIGGER IF EXISTS {TABLE}_append_only ON {TABLE}",
        f"DROP FUNCTION IF EXISTS {TABLE}_refuse()",
    ],
)
BY_VENDOR = defaultdict(
    lambda: ([], []), {"sqlite": SQLITE, "mysql": MARIADB, "postgresql": POSTGRESQL}
)
"""What locks, and what unlocks. Of other databases, nothing is known."""


def lock(_apps, schema_editor):
    """Lay the triggers."""
    if not hasattr(mail, "outbox"):  # which is what makes a test run
        run(schema_editor, BY_VENDOR[schema_editor.connection.vendor][0])


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

    operations = [migrations.RunPython(lock, unlock)]
