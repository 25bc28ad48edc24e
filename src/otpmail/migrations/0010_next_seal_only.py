"""Who writes the database by hand cannot make a seal that lets the audit be deleted.

A seal is the next one, over entries that are there, and says of no more than its predecessors cover
that its time is over. And whatever a seal says, an entry or a seal of the last `DAYS` days stays, and
so does the newest seal. What a fresh database takes first may be any seal: a fixture's.
"""

from importlib import import_module

from django.db import migrations

LAST = import_module("otpmail.migrations.0008_audit_chain")

ENTRY, SEAL = LAST.ENTRY, LAST.SEAL
LOCK = f"{SEAL}_next_only"
REFUSAL = f"{SEAL} is append-only: this is not the next seal"
DAYS = 7
"""`OTPMAIL_AUDIT_KEEP_DAYS` is no less (`otpmail.E033`)."""

OLDER = {
    "sqlite": f"OLD.at < datetime('now', '-{DAYS} days')",
    "mysql": f"OLD.at < UTC_TIMESTAMP() - INTERVAL {DAYS} DAY",
    "postgresql": f"OLD.at < now() - interval '{DAYS} days'",
}
IS_NEXT = (
    f"(EXISTS (SELECT 1 FROM {SEAL} AS s WHERE s.number + 1 = NEW.number "  # noqa: S608 - our own names
    "AND s.last = NEW.after AND NEW.pruned >= s.pruned AND NEW.pruned <= s.last) "
    f"AND NOT EXISTS (SELECT 1 FROM {SEAL} AS s WHERE s.number >= NEW.number) "
    f"AND (NEW.last = NEW.after OR NEW.last > NEW.after AND NEW.last <= "
    f"(SELECT MAX(e.id) FROM {ENTRY} AS e)))"
)
IS_FIRST = (
    f"(NOT EXISTS (SELECT 1 FROM {SEAL} AS s) AND NEW.pruned <= NEW.after "  # noqa: S608 - our own names
    "AND NEW.after <= NEW.last)"
)
NEXT = f"NOT ({IS_NEXT} OR {IS_FIRST})"
# Refused as a duplicate is, since it is what happens to the second of two sweeps.
ON = {
    "sqlite": [
        f"CREATE TRIGGER {LOCK} BEFORE INSERT ON {SEAL} WHEN {NEXT} "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    ],
    "mysql": [
        f"CREATE TRIGGER {LOCK} BEFORE INSERT ON {SEAL} FOR EACH ROW IF {NEXT} THEN "
        f"SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 4025, MESSAGE_TEXT = '{REFUSAL}'; END IF"
    ],
    "postgresql": [
        f"CREATE OR REPLACE FUNCTION {LOCK}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {NEXT} THEN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'check_violation'; END IF; "
        "RETURN NEW; END $$",
        f"CREATE TRIGGER {LOCK} BEFORE INSERT ON {SEAL} FOR EACH ROW EXECUTE FUNCTION {LOCK}()",
    ],
}
OFF = {
    "sqlite": [f"DROP TRIGGER IF EXISTS {LOCK}"],
    "mysql": [f"DROP TRIGGER IF EXISTS {LOCK}"],
    "postgresql": [
        f"DROP TRIGGER IF EXISTS {LOCK} ON {SEAL}",
        f"DROP FUNCTION IF EXISTS {LOCK}()",
    ],
}


def of_ours(vendor):
    """Give the locks of both tables, and what takes them off. Of others, nothing is known."""
    if vendor not in ON:
        return [], []
    binary = "BINARY" if vendor == "mysql" else ""
    entry = LAST.locks(
        vendor,
        ENTRY,
        update=LAST.emptied(binary),
        delete=f"{LAST.PRUNED} >= OLD.id AND {OLDER[vendor]}",
    )
    newer = f"EXISTS (SELECT 1 FROM {SEAL} AS s WHERE s.number > OLD.number)"  # noqa: S608 - our own names
    seal = LAST.locks(
        vendor,
        SEAL,
        unique=(("number",),),
        delete=f"{LAST.PRUNED} >= OLD.last AND {newer} AND {OLDER[vendor]}",
    )
    return [*entry[0], *seal[0], *ON[vendor]], [*OFF[vendor], *entry[1], *seal[1]]


def lock(_apps, schema_editor):
    """Lay the triggers, in the place of those of before."""
    on, off = of_ours(schema_editor.connection.vendor)
    LAST.run(schema_editor, [*off, *on])


def unlock(_apps, schema_editor):
    """On the way back: take ours away, and lay those of before."""
    LAST.run(schema_editor, of_ours(schema_editor.connection.vendor)[1])
    LAST.lock(_apps, schema_editor)


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0009_unrendered")]

    operations = [migrations.RunPython(lock, unlock, atomic=False)]
