from django.db import migrations, models
from django.db.models import F


def seen_when_made(apps, schema_editor):
    """What was signed in before is idle since then."""
    tokens = apps.get_model("mobile_api", "Token").objects.using(schema_editor.connection.alias)
    tokens.filter(seen_at=None).update(seen_at=F("created_at"))


class Migration(migrations.Migration):
    dependencies = [("mobile_api", "0004_locked_ledger")]

    operations = [
        migrations.AddField(
            "token",
            "client",
            models.CharField(blank=True, default="", max_length=120),
            preserve_default=False,
        ),
        migrations.AddField("token", "seen_at", models.DateTimeField(null=True)),
        migrations.RunPython(seen_when_made, migrations.RunPython.noop),
        migrations.AlterField("token", "seen_at", models.DateTimeField()),
    ]
