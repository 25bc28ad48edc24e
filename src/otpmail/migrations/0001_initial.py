"""The tables, and the triggers that refuse to change or delete what the audit tells.

The text of the triggers is here and nowhere else: a migration does not change with the code. What
must empty the tables (`otpmail.db.append_only.lift`) finds them by their names. A later migration
that alters one of the two tables must lay them anew on SQLite, where the table is then made anew.

1. A row is not changed, but for the columns that tell of a person, which may be emptied.
2. A row is not deleted, but for what a newer seal says is over and what is older than `DAYS` days;
   the newest seal stays.
3. A seal is the next one, over entries that are there, and says of no more than its predecessors
   cover that its time is over. What a fresh database takes first may be any seal: a fixture's.

`lock` can be repeated, since MariaDB, whose DDL is no part of a transaction, keeps the statements
that went well before one that failed; it also lays them again where a dump came without them.
"""

from collections.abc import Callable

import django.db.models.deletion
from django.db import migrations, models, router

import otpmail.db.compat
import otpmail.db.nullable_cascade
import otpmail.db.open_index

ENTRY, SEAL = "otpmail_auditentry", "otpmail_auditseal"
KEPT = ("id", "at", "action", "challenge_id", "generation", "purpose", "key_id")
PERSONAL = ("recipient", "address", "credential", "recipient_mac", "owner_mac")
DAYS = 7
"""`OTPMAIL_AUDIT_KEEP_DAYS` is no less (`otpmail.E033`)."""

NEVER = "1 = 0"
PRUNED = f"COALESCE((SELECT pruned FROM {SEAL} ORDER BY number DESC LIMIT 1), 0)"  # noqa: S608 - our own names
OLD = {
    "sqlite": f"OLD.at < datetime('now', '-{DAYS} days')",
    "mysql": f"OLD.at < UTC_TIMESTAMP() - INTERVAL {DAYS} DAY",
    "postgresql": f"OLD.at < now() - interval '{DAYS} days'",
}
IS_NEXT = (
    f"(EXISTS (SELECT 1 FROM {SEAL} AS s WHERE s.number + 1 = NEW.number "  # noqa: S608 - our own names
    "AND s.last = NEW.after AND NEW.pruned >= s.pruned AND NEW.pruned <= s.last) "
    f"AND NOT EXISTS (SELECT 1 FROM {SEAL} AS s WHERE s.number >= NEW.number) "
    f"AND (NEW.last = NEW.after OR NEW.last > NEW.after AND NEW.last <= "
    f"(SELECT MAX(e.id) FROM {ENTRY} AS e)))"
)
IS_FIRST = (
    f"(NOT EXISTS (SELECT 1 FROM {SEAL} AS s) AND NEW.pruned <= NEW.after "  # noqa: S608 - our own names
    "AND NEW.after <= NEW.last)"
)
IS_OTHER = f"NOT ({IS_NEXT} OR {IS_FIRST})"
NEXT = f"{SEAL}_next_only"
NO_NEXT = f"{SEAL} is append-only: this is not the next seal"
# Refused as a duplicate is, since it is what happens to the second of two sweeps.
NEXT_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER {NEXT} BEFORE INSERT ON {SEAL} WHEN {IS_OTHER} "
        f"BEGIN SELECT RAISE(ABORT, '{NO_NEXT}'); END"
    ],
    "mysql": [
        f"CREATE TRIGGER {NEXT} BEFORE INSERT ON {SEAL} FOR EACH ROW IF {IS_OTHER} THEN "
        f"SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 4025, MESSAGE_TEXT = '{NO_NEXT}'; END IF"
    ],
    "postgresql": [
        f"CREATE OR REPLACE FUNCTION {NEXT}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {IS_OTHER} THEN RAISE EXCEPTION '{NO_NEXT}' USING ERRCODE = 'check_violation'; END IF; "
        "RETURN NEW; END $$",
        f"CREATE TRIGGER {NEXT} BEFORE INSERT ON {SEAL} FOR EACH ROW EXECUTE FUNCTION {NEXT}()",
    ],
}
ANY_NEXT = {
    "sqlite": [f"DROP TRIGGER IF EXISTS {NEXT}"],
    "mysql": [f"DROP TRIGGER IF EXISTS {NEXT}"],
    "postgresql": [
        f"DROP TRIGGER IF EXISTS {NEXT} ON {SEAL}",
        f"DROP FUNCTION IF EXISTS {NEXT}()",
    ],
}


def locks(vendor, table, *, unique=(("id",),), update=NEVER, delete=NEVER):
    """Give what locks a table and what unlocks it. Of other databases, nothing is known."""
    write: dict[str, Callable[..., list[str]]] = {
        "sqlite": _sqlite,
        "mysql": _mariadb,
        "postgresql": _postgresql,
    }
    if vendor not in write:
        return [], []
    off = [f"DROP TRIGGER IF EXISTS {table}_{lock}" for lock in ("no_update", "no_delete")]
    if vendor == "sqlite":
        off.append(f"DROP TRIGGER IF EXISTS {table}_no_replace")
    if vendor == "postgresql":
        off = [
            f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}",
            f"DROP TRIGGER IF EXISTS {table}_no_truncate ON {table}",
            f"DROP FUNCTION IF EXISTS {table}_refuse()",
        ]
    return write[vendor](table, unique, update, delete), off


def _sqlite(table, unique, update, delete):
    # A replacing INSERT fires no DELETE trigger there, so it is refused where a row would go.
    there = " OR ".join(
        "(" + " AND ".join(f"{column} = NEW.{column}" for column in columns) + ")"
        for columns in unique
    )
    cases = {
        "no_update": ("UPDATE", f"NOT ({update})"),
        "no_delete": ("DELETE", f"NOT ({delete})"),
        "no_replace": ("INSERT", f"EXISTS (SELECT 1 FROM {table} WHERE {there})"),  # noqa: S608 - our own names
    }
    return [
        f"CREATE TRIGGER {table}_{lock} BEFORE {event} ON {table} WHEN {when} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for lock, (event, when) in cases.items()
    ]


def _mariadb(table, _unique, update, delete):
    # REPLACE and ON DUPLICATE KEY UPDATE fire these. TRUNCATE fires none: it asks for DROP.
    return [
        f"CREATE TRIGGER {table}_no_{event} BEFORE {event} ON {table} FOR EACH ROW "
        f"IF NOT ({may}) THEN SIGNAL SQLSTATE '45000' "
        f"SET MESSAGE_TEXT = '{table} is append-only'; END IF"
        for event, may in (("update", update), ("delete", delete))
    ]


def _postgresql(table, _unique, update, delete):
    # By row: Django loads a fixture by an UPDATE that may meet no row.
    return [
        f"CREATE OR REPLACE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' THEN IF {update} THEN RETURN NEW; END IF; END IF; "
        f"IF TG_OP = 'DELETE' THEN IF {delete} THEN RETURN OLD; END IF; END IF; "
        f"RAISE EXCEPTION '{table} is append-only'; END $$",
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()",
    ]


def of_ours(vendor):
    """Give the locks of both tables, and what takes them off. Of others, nothing is known."""
    if vendor not in NEXT_ONLY:
        return [], []
    binary = "BINARY" if vendor == "mysql" else ""
    same = [f"{binary} NEW.{column} = {binary} OLD.{column}" for column in KEPT]
    emptied = " AND ".join([*same, *(f"NEW.{column} = ''" for column in PERSONAL)])
    over, old = f"{PRUNED} >= OLD", OLD[vendor]
    newer = f"EXISTS (SELECT 1 FROM {SEAL} AS s WHERE s.number > OLD.number)"  # noqa: S608 - our own names
    entry = locks(vendor, ENTRY, update=emptied, delete=f"{over}.id AND {old}")
    seal = locks(vendor, SEAL, unique=(("number",),), delete=f"{over}.last AND {newer} AND {old}")
    return [*entry[0], *seal[0], *NEXT_ONLY[vendor]], [*ANY_NEXT[vendor], *entry[1], *seal[1]]


def lock(_apps, schema_editor):
    """Lay the triggers, in the place of what an earlier run left."""
    on, off = of_ours(schema_editor.connection.vendor)
    run(schema_editor, [*off, *on])


def unlock(_apps, schema_editor):
    """Take them away."""
    run(schema_editor, of_ours(schema_editor.connection.vendor)[1])


def run(schema_editor, statements, *, app_label="otpmail", model_name="auditentry"):
    """Run them on the database that the table is on."""
    if router.allow_migrate(schema_editor.connection.alias, app_label, model_name=model_name):
        for statement in statements:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                ("number", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("key_id", models.CharField(max_length=50)),
                ("after", models.PositiveBigIntegerField()),
                ("last", models.PositiveBigIntegerField()),
                ("missing", models.JSONField()),
                ("pruned", models.PositiveBigIntegerField()),
                ("entries", models.BinaryField()),
                ("previous", models.BinaryField(max_length=32)),
                ("digest", models.BinaryField(max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=otpmail.db.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("generation", models.PositiveSmallIntegerField(blank=True, null=True)),
                (
                    "queue",
                    models.CharField(
                        choices=[("code", "Code"), ("mail", "Mail")], default="code", max_length=4
                    ),
                ),
                ("message_id", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("accepted", "Accepted"),
                            ("failed", "Failed"),
                            ("dropped", "Dropped"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("confirmed", "Confirmed"),
                            ("exhausted", "Exhausted"),
                            ("expired", "Expired"),
                            ("cancelled", "Cancelled"),
                            ("changed", "Changed"),
                            ("superseded", "Superseded"),
                            ("refused", "Refused"),
                            ("gave up", "Gave Up"),
                            ("decoy", "Decoy"),
                            ("suppressed", "Suppressed"),
                            ("unreadable", "Unreadable"),
                            ("restored", "Restored"),
                        ],
                        max_length=10,
                    ),
                ),
                ("avoid_route", models.CharField(blank=True, max_length=50)),
                ("is_log_mail", models.BooleanField(db_default=False, default=False)),
                ("render_failed", models.BooleanField(db_default=False, default=False)),
                (
                    "event",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("deferred", "Deferred"),
                            ("delivered", "Delivered"),
                            ("rejected", "Rejected"),
                            ("bounced", "Bounced"),
                            ("complained", "Complained"),
                        ],
                        max_length=10,
                    ),
                ),
                ("event_at", models.DateTimeField(blank=True, null=True)),
                ("event_reason", models.CharField(blank=True, max_length=200)),
                ("rounds", models.PositiveSmallIntegerField(default=0)),
                ("created_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("deadline", models.DateTimeField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("leased_by", models.CharField(blank=True, max_length=80)),
                ("leased_until", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name_plural": "deliveries",
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("issued", "Issued"),
                            ("mailed", "Mailed"),
                            ("resent", "Resent"),
                            ("reissued", "Reissued"),
                            ("wrong", "Wrong"),
                            ("held", "Held"),
                            ("exhausted", "Exhausted"),
                            ("confirmed", "Confirmed"),
                            ("changed", "Changed"),
                            ("expired", "Expired"),
                            ("cancelled", "Cancelled"),
                            ("superseded", "Superseded"),
                            ("erased", "Erased"),
                        ],
                        max_length=10,
                    ),
                ),
                ("challenge_id", models.UUIDField(db_index=True)),
                ("generation", models.PositiveSmallIntegerField()),
                ("purpose", models.CharField(max_length=50)),
                ("recipient", models.CharField(max_length=254)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("credential", models.CharField(blank=True, max_length=100)),
                ("key_id", models.CharField(max_length=50)),
                ("recipient_mac", models.CharField(blank=True, db_default="", max_length=64)),
                ("owner_mac", models.CharField(blank=True, db_default="", max_length=64)),
            ],
            options={
                "verbose_name_plural": "audit entries",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "action__in",
                                [
                                    "issued",
                                    "mailed",
                                    "resent",
                                    "reissued",
                                    "wrong",
                                    "held",
                                    "exhausted",
                                    "confirmed",
                                    "changed",
                                    "expired",
                                    "cancelled",
                                    "superseded",
                                    "erased",
                                ],
                            )
                        ),
                        name="otpmail_audit_action",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Challenge",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=otpmail.db.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("purpose", models.CharField(max_length=50)),
                ("owner", models.CharField(max_length=100)),
                ("recipient", models.EmailField(max_length=254)),
                ("language", models.CharField(blank=True, max_length=100)),
                ("time_zone", models.CharField(blank=True, max_length=64)),
                ("context", models.JSONField(default=dict)),
                ("binding", models.BinaryField(max_length=32)),
                ("binding_version", models.PositiveSmallIntegerField()),
                ("is_bound", models.BooleanField(db_default=False, default=False)),
                ("key_id", models.CharField(max_length=50)),
                ("nonce", models.BinaryField(max_length=16, null=True)),
                ("older_nonces", models.BinaryField(null=True)),
                ("is_decoy", models.BooleanField(default=False)),
                ("digits", models.PositiveSmallIntegerField()),
                ("generation", models.PositiveSmallIntegerField(default=1)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("confirmed", "Confirmed"),
                            ("exhausted", "Exhausted"),
                            ("expired", "Expired"),
                            ("cancelled", "Cancelled"),
                            ("changed", "Changed"),
                            ("superseded", "Superseded"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("sends", models.PositiveSmallIntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("closes_at", models.DateTimeField()),
                ("resend_at", models.DateTimeField()),
                ("held_until", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [
                    otpmail.db.open_index.OpenIndex(
                        condition=models.Q(("state", "pending")),
                        fields=["closes_at"],
                        lead=("state",),
                        name="otpmail_closing",
                    ),
                    otpmail.db.open_index.OpenIndex(
                        condition=models.Q(("state", "pending")),
                        fields=["owner"],
                        lead=("state",),
                        name="otpmail_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                [
                                    "pending",
                                    "confirmed",
                                    "exhausted",
                                    "expired",
                                    "cancelled",
                                    "changed",
                                    "superseded",
                                ],
                            )
                        ),
                        name="otpmail_challenge_state",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("ended_at", None), ("nonce__isnull", False), ("state", "pending")
                            ),
                            models.Q(
                                models.Q(("state", "pending"), _negated=True),
                                ("ended_at__isnull", False),
                                ("nonce", None),
                                ("older_nonces", None),
                            ),
                            _connector="OR",
                        ),
                        name="otpmail_challenge_ended",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_at__gt", models.F("created_at")),
                            ("closes_at__gte", models.F("expires_at")),
                        ),
                        name="otpmail_challenge_life",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("digits__range", (4, 10)), ("generation__gte", 1), ("sends__gte", 1)
                        ),
                        name="otpmail_challenge_counts",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=20)),
                ("hour_until", models.BigIntegerField(default=0)),
                ("day_until", models.BigIntegerField(default=0)),
                ("locked_out_until", models.BigIntegerField(default=0)),
                ("lockout_ms", models.BigIntegerField(default=0)),
                ("kept_until", models.BigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["kept_until"], name="otpmail_counter_kept")],
            },
        ),
        migrations.CreateModel(
            name="StoredMessage",
            fields=[
                (
                    "delivery",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="stored",
                        serialize=False,
                        to="otpmail.delivery",
                    ),
                ),
                ("key_id", models.CharField(max_length=50)),
                ("content", models.BinaryField()),
                ("routes", models.JSONField()),
                ("to", models.CharField(max_length=320)),
                ("recipient_count", models.PositiveIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name="delivery",
            name="challenge",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=otpmail.db.nullable_cascade.cascade_nullable,
                related_name="deliveries",
                to="otpmail.challenge",
            ),
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("route", models.CharField(max_length=50)),
                ("started_at", models.DateTimeField()),
                ("took_ms", models.PositiveIntegerField()),
                ("outcome", models.CharField(max_length=10)),
                ("code", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("reply", models.CharField(blank=True, max_length=200)),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="otpmail.delivery",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Suppression",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("deferred", "Deferred"),
                            ("delivered", "Delivered"),
                            ("rejected", "Rejected"),
                            ("bounced", "Bounced"),
                            ("complained", "Complained"),
                        ],
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("until", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("until__gt", models.F("created_at"))),
                        name="otpmail_suppression_life",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=otpmail.db.open_index.OpenIndex(
                condition=models.Q(("leased_by", ""), ("state", "queued")),
                fields=["queue", "due_at"],
                lead=("state", "leased_by"),
                name="otpmail_due",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=otpmail.db.open_index.OpenIndex(
                condition=models.Q(("leased_until__isnull", False)),
                fields=["leased_until"],
                lead=(),
                name="otpmail_leased",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=otpmail.db.open_index.OpenIndex(
                condition=models.Q(("reason__gt", "")),
                fields=["settled_at"],
                lead=("state",),
                name="otpmail_unsent",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("challenge__isnull", False),
                        ("generation__isnull", False),
                        ("queue", "code"),
                    ),
                    models.Q(
                        ("challenge__isnull", True), ("generation__isnull", True), ("queue", "mail")
                    ),
                    _connector="OR",
                ),
                name="otpmail_delivery_queue",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("settled_at", None), ("state", "queued")),
                    models.Q(
                        ("settled_at__isnull", False),
                        ("state__in", ["accepted", "failed", "dropped"]),
                    ),
                    _connector="OR",
                ),
                name="otpmail_delivery_settled",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("leased_by", ""), ("leased_until", None)),
                    models.Q(
                        models.Q(("leased_by", ""), _negated=True),
                        ("leased_until__isnull", False),
                        ("state", "queued"),
                    ),
                    _connector="OR",
                ),
                name="otpmail_delivery_lease",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        (
                            "reason__in",
                            [
                                "confirmed",
                                "exhausted",
                                "expired",
                                "cancelled",
                                "changed",
                                "superseded",
                                "refused",
                                "gave up",
                                "decoy",
                                "suppressed",
                                "unreadable",
                                "restored",
                            ],
                        ),
                        ("state__in", ["failed", "dropped"]),
                    ),
                    models.Q(("reason", ""), ("state__in", ["queued", "accepted"])),
                    _connector="OR",
                ),
                name="otpmail_delivery_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("event", ""), ("event_at", None), ("event_reason", "")),
                    models.Q(
                        (
                            "event__in",
                            ["deferred", "delivered", "rejected", "bounced", "complained"],
                        ),
                        ("event_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="otpmail_delivery_event",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("outcome__in", ["accepted", "transient", "permanent", "unknown"])
                ),
                name="otpmail_attempt_outcome",
            ),
        ),
        # Not atomic by itself: where DDL can be rolled back, the migration already is; elsewhere
        # (MariaDB) Django refuses DDL inside a transaction.
        migrations.RunPython(lock, unlock, atomic=False),
    ]
