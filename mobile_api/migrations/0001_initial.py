"""The kiosk's tables; the ledger's lines are locked in the database too, as otpmail's audit is."""

import uuid
from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models

OTPMAIL = import_module("otpmail.migrations.0001_initial")

TABLE = "mobile_api_entry"
UNIQUE = (("id",), ("transfer_id", "account_id"))


def lock(_apps, schema_editor):
    """Lay the triggers, in the place of what an earlier run left."""
    on, off = OTPMAIL.locks(schema_editor.connection.vendor, TABLE, unique=UNIQUE)
    OTPMAIL.run(schema_editor, [*off, *on], app_label="mobile_api", model_name="entry")


def unlock(_apps, schema_editor):
    """Take them away."""
    _, off = OTPMAIL.locks(schema_editor.connection.vendor, TABLE, unique=UNIQUE)
    OTPMAIL.run(schema_editor, off, app_label="mobile_api", model_name="entry")


class Migration(migrations.Migration):
    initial = True

    dependencies = [("otpmail", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Member",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.CharField(max_length=20, unique=True)),
                ("name", models.CharField(max_length=100)),
                ("email", models.EmailField(max_length=254)),
                ("pin", models.CharField(max_length=128)),
            ],
        ),
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.CharField(max_length=20, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("current", "Current"),
                            ("savings", "Savings"),
                            ("cooperative", "Cooperative"),
                        ],
                        default="current",
                        max_length=12,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("balance_minor", models.BigIntegerField(default=0)),
                (
                    "member",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="mobile_api.member",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Token",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("client", models.CharField(blank=True, max_length=120)),
                ("created_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "member",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="mobile_api.member",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Transfer",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("amount_minor", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("memo", models.CharField(blank=True, max_length=140)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("confirmed", "Confirmed"),
                            ("cancelled", "Cancelled"),
                            ("rejected", "Rejected"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("cancelled", "Cancelled"),
                            ("exhausted", "Exhausted"),
                            ("expired", "Expired"),
                            ("changed", "Changed"),
                            ("superseded", "Superseded"),
                            ("insufficient-funds", "Insufficient Funds"),
                        ],
                        max_length=20,
                    ),
                ),
                ("challenge_id", models.UUIDField(blank=True, null=True, unique=True)),
                ("receipt", models.CharField(blank=True, max_length=140)),
                ("created_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "payee",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mobile_api.account",
                    ),
                ),
                (
                    "payer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mobile_api.account",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("amount_minor", models.BigIntegerField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="mobile_api.account",
                    ),
                ),
                (
                    "transfer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="mobile_api.transfer",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "entries",
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=100)),
                ("fingerprint", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField()),
                ("location", models.CharField(blank=True, max_length=200)),
                ("body", models.TextField()),
                ("created_at", models.DateTimeField()),
                (
                    "member",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="mobile_api.member",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("member", "key"), name="mobile_api_idempotency_key_once"
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("balance_minor__gte", 0), ("kind", "cooperative"), _connector="OR"
                ),
                name="mobile_api_account_balance",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "cooperative"), ("member", None)),
                    models.Q(("kind__in", ["current", "savings"]), ("member__isnull", False)),
                    _connector="OR",
                ),
                name="mobile_api_account_owner",
            ),
        ),
        migrations.AddConstraint(
            model_name="token",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("created_at"))),
                name="mobile_api_token_life",
            ),
        ),
        migrations.AddConstraint(
            model_name="transfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor__range", (1, 999999999999))),
                name="mobile_api_transfer_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="transfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("payer", models.F("payee")), _negated=True),
                name="mobile_api_transfer_accounts",
            ),
        ),
        migrations.AddConstraint(
            model_name="transfer",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at", None), ("reason", ""), ("state", "pending")),
                    models.Q(("ended_at__isnull", False), ("reason", ""), ("state", "confirmed")),
                    models.Q(
                        ("ended_at__isnull", False),
                        (
                            "reason__in",
                            ["cancelled", "exhausted", "expired", "changed", "superseded"],
                        ),
                        ("state", "cancelled"),
                    ),
                    models.Q(
                        ("ended_at__isnull", False),
                        ("reason", "insufficient-funds"),
                        ("state", "rejected"),
                    ),
                    _connector="OR",
                ),
                name="mobile_api_transfer_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="transfer",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("challenge_id__isnull", False),
                        ("state", "confirmed"),
                        models.Q(("receipt", ""), _negated=True),
                    ),
                    models.Q(
                        ("receipt", ""),
                        models.Q(
                            models.Q(("state", "confirmed"), _negated=True),
                            ("challenge_id__isnull", True),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="mobile_api_transfer_receipt",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(
                fields=("transfer", "account"), name="mobile_api_entry_posted_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor", 0), _negated=True),
                name="mobile_api_entry_moves_money",
            ),
        ),
        migrations.RunPython(lock, unlock, atomic=False),
    ]
