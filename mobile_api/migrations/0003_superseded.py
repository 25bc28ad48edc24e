"""A reason more: a newer transfer took its place."""

from django.db import migrations, models

BEFORE = ["cancelled", "exhausted", "expired", "changed"]
NAME = "mobile_api_transfer_state"


def law(reasons):
    """Write the law of the states."""
    return models.CheckConstraint(
        condition=models.Q(
            models.Q(("ended_at", None), ("reason", ""), ("state", "pending")),
            models.Q(("ended_at__isnull", False), ("reason", ""), ("state", "confirmed")),
            models.Q(("ended_at__isnull", False), ("reason__in", reasons), ("state", "cancelled")),
            models.Q(
                ("ended_at__isnull", False),
                ("reason", "insufficient-funds"),
                ("state", "rejected"),
            ),
            _connector="OR",
        ),
        name=NAME,
    )


def forget(apps, schema_editor):
    """Before the reason goes, no row has it."""
    rows = apps.get_model("mobile_api", "Transfer").objects.using(schema_editor.connection.alias)
    rows.filter(reason="superseded").update(reason="cancelled")


class Migration(migrations.Migration):
    dependencies = [("mobile_api", "0002_longer_receipt")]

    operations = [
        migrations.RemoveConstraint(model_name="transfer", name=NAME),
        migrations.AlterField(
            model_name="transfer",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[
                    *((reason, reason.title()) for reason in [*BEFORE, "superseded"]),
                    ("insufficient-funds", "Insufficient Funds"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddConstraint(model_name="transfer", constraint=law([*BEFORE, "superseded"])),
        migrations.RunPython(migrations.RunPython.noop, forget, atomic=False),
    ]
