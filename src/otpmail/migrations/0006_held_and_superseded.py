"""A challenge that waits for its step, one that a newer took the place of, and a person's zone.

The audit tells the first two. Its triggers are laid anew, since SQLite makes the table anew.
"""

from importlib import import_module

from django.db import migrations, models

locks = import_module("otpmail.migrations.0002_append_only_audit")

STATES = ["pending", "confirmed", "exhausted", "expired", "cancelled", "changed", "superseded"]
DEEDS = ["issued", "mailed", "resent", "reissued", "wrong", "held", "exhausted", "confirmed"]
DEEDS += ["changed", "expired", "cancelled", "superseded"]


class Once:
    """Does nothing where an earlier run did it: MariaDB keeps the first half of a failed one."""

    adds = True

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if self.is_due(app_label, schema_editor, from_state, to_add=self.adds):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if self.is_due(app_label, schema_editor, from_state, to_add=not self.adds):
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def is_due(self, app_label, schema_editor, state, *, to_add):
        connection = schema_editor.connection
        if connection.features.can_rollback_ddl:
            return True
        table = state.apps.get_model(app_label, self.model_name)._meta.db_table  # noqa: SLF001
        name = getattr(self, "name", None) or self.constraint.name
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, table)
            constraints = connection.introspection.get_constraints(cursor, table)
        return (name in {*constraints, *(column.name for column in columns)}) is not to_add


class AddField(Once, migrations.AddField):
    pass


class AddConstraint(Once, migrations.AddConstraint):
    pass


class RemoveConstraint(Once, migrations.RemoveConstraint):
    adds = False


def forget(apps, schema_editor):
    """Before a state goes, no row has it."""
    locks.unlock(apps, schema_editor)
    alias = schema_editor.connection.alias
    states = {"superseded": "cancelled"}
    for model, column, instead in (
        ("Challenge", "state", states),
        ("AuditEntry", "deed", states | {"held": "confirmed"}),
    ):
        rows = apps.get_model("otpmail", model).objects.using(alias)
        for value, older in instead.items():
            rows.filter(**{column: value}).update(**{column: older})


def one_of(column, values, name):
    return models.CheckConstraint(condition=models.Q((f"{column}__in", values)), name=name)


def choices(values):
    return [(value, value.title()) for value in values]


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0005_keyed_binding")]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, locks.lock, atomic=False),
        RemoveConstraint(model_name="auditentry", name="otpmail_audit_deed"),
        RemoveConstraint(model_name="challenge", name="otpmail_challenge_state"),
        AddField(
            model_name="challenge",
            name="held_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        AddField(
            model_name="challenge",
            name="time_zone",
            field=models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="challenge",
            name="language",
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="deed",
            field=models.CharField(choices=choices(DEEDS), max_length=10),
        ),
        migrations.AlterField(
            model_name="challenge",
            name="state",
            field=models.CharField(choices=choices(STATES), default="pending", max_length=10),
        ),
        AddConstraint(
            model_name="auditentry", constraint=one_of("deed", DEEDS, "otpmail_audit_deed")
        ),
        AddConstraint(
            model_name="challenge", constraint=one_of("state", STATES, "otpmail_challenge_state")
        ),
        migrations.RunPython(locks.lock, forget, atomic=False),
    ]
