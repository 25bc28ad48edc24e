"""Whether a log handler made a mail: what becomes of it is told nobody by mail."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0003_restored")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="is_log_mail",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
