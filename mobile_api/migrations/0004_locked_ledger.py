"""The ledger's lines are locked in the database too, as otpmail's audit is."""

from importlib import import_module

from django.db import migrations

OTPMAIL = import_module("otpmail.migrations.0008_audit_chain")

TABLE = "mobile_api_entry"
UNIQUE = (("id",), ("transfer_id", "account_id"))


def lock(_apps, schema_editor):
    """Lay the triggers, in the place of what an earlier run left."""
    on, off = OTPMAIL.locks(schema_editor.connection.vendor, TABLE, unique=UNIQUE)
    OTPMAIL.run(schema_editor, [*off, *on], app_label="mobile_api", model_name="entry")


def unlock(_apps, schema_editor):
    """Take them away."""
    _, off = OTPMAIL.locks(schema_editor.connection.vendor, TABLE, unique=UNIQUE)
    OTPMAIL.run(schema_editor, off, app_label="mobile_api", model_name="entry")


class Migration(migrations.Migration):
    dependencies = [
        ("mobile_api", "0003_superseded"),
        ("otpmail", "0008_audit_chain"),
    ]

    operations = [migrations.RunPython(lock, unlock, atomic=False)]
