"""Whether a courier could not make a mail, so that who waits is told to ask again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0008_audit_chain")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="is_unrendered",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
