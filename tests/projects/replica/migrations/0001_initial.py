from django.db import migrations, models


def model(name, to, on_delete):
    key = models.ForeignKey(f"otpmail.{to}", on_delete, related_name=f"{name.lower()}s")
    fields = [("id", models.BigAutoField(primary_key=True)), (to.lower(), key)]
    return migrations.CreateModel(name, fields)


class Migration(migrations.Migration):
    dependencies = [("otpmail", "0001_initial")]
    operations = [
        model("Order", "Challenge", models.CASCADE),
        model("Invoice", "Challenge", models.PROTECT),
        model("Dispute", "Delivery", models.RESTRICT),
        model("Archived", "Challenge", models.DO_NOTHING),
    ]
