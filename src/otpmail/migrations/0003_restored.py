"""A reason more: dropped after a dump was restored. And the audit's triggers are laid anew.

Anew, since a database that is kept from one test run to the next may have none, and since
PostgreSQL's were told by the statement before.
"""

from importlib import import_module

from django.db import migrations, models

locks = import_module("otpmail.migrations.0002_append_only_audit")

BEFORE = [
    "confirmed",
    "exhausted",
    "expired",
    "cancelled",
    "changed",
    "superseded",
    "refused",
    "gave up",
    "decoy",
    "suppressed",
    "unreadable",
]
NAME = "otpmail_delivery_reason"


def law(reasons):
    """Write the law of the reasons."""
    return models.CheckConstraint(
        condition=models.Q(
            models.Q(("reason__in", reasons), ("state__in", ["failed", "dropped"])),
            models.Q(("reason", ""), ("state__in", ["queued", "accepted"])),
            _connector="OR",
        ),
        name=NAME,
    )


def is_there(schema_editor, app_label, state):
    """Tell whether the law stands; MariaDB keeps the first half of a migration that failed."""
    connection = schema_editor.connection
    if connection.features.can_rollback_ddl:
        return True
    table = state.apps.get_model(app_label, "delivery")._meta.db_table
    with connection.cursor() as cursor:
        return NAME in connection.introspection.get_constraints(cursor, table)


class RemoveConstraint(migrations.RemoveConstraint):
    """Does nothing where an earlier run removed it."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if is_there(schema_editor, app_label, from_state):
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class AddConstraint(migrations.AddConstraint):
    """The same on the way back."""

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if is_there(schema_editor, app_label, to_state):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


def forget(apps, schema_editor):
    """Before the reason goes, no row has it."""
    rows = apps.get_model("otpmail", "Delivery").objects.using(schema_editor.connection.alias)
    rows.filter(reason="restored").update(reason="gave up")


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0002_append_only_audit")]

    operations = [
        migrations.AlterField(
            model_name="delivery",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[(reason, reason.title()) for reason in [*BEFORE, "restored"]],
                max_length=10,
            ),
        ),
        RemoveConstraint(model_name="delivery", name=NAME),
        AddConstraint(model_name="delivery", constraint=law([*BEFORE, "restored"])),
        migrations.RunPython(
            migrations.RunPython.noop, forget, atomic=False, hints={"model_name": "delivery"}
        ),
        migrations.RunPython(locks.lock, migrations.RunPython.noop, atomic=False),
    ]
