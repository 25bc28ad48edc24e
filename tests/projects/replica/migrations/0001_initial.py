from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0001_initial")]
    operations = [
        migrations.CreateModel(
            "Order",
            [
                ("id", models.BigAutoField(primary_key=True)),
                (
                    "challenge",
                    models.ForeignKey("otpmail.Challenge", models.CASCADE, related_name="orders"),
                ),
            ],
        )
    ]
