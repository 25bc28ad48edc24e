"""A receipt also tells to whom its code was mailed, and what was shown."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mobile_api", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="transfer",
            name="receipt",
            field=models.CharField(blank=True, max_length=140),
        ),
    ]
