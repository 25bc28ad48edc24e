"""Whether a challenge stands for facts is written in its row, since its keyed digest does not tell.

What is pending under a digest without a key ends as changed at its next touch: it proves nothing.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0004_log_mails")]

    operations = [
        migrations.AddField(
            model_name="challenge",
            name="is_bound",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
