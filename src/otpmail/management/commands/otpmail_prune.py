"""``manage.py otpmail_prune``: deletes what was over for ``OTPMAIL_KEEP_DAYS``. Run it daily.

Counters that are long at nought and suppressions that ended go too; the audit after
``OTPMAIL_AUDIT_KEEP_DAYS``.
"""

from typing import Any, override

from django.core.management.base import CommandParser

from otpmail.audit import chain
from otpmail.conf import settings
from otpmail.db import database
from otpmail.limits import counters, suppressions
from otpmail.management.migrated import MigratedCommand
from otpmail.operations import retention


class Command(MigratedCommand):
    """Deletes once and ends."""

    help = "Deletes settled deliveries and ended challenges older than OTPMAIL_KEEP_DAYS."

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count, and delete nothing")

    @override
    def handle(self, *, dry_run: bool, **_: Any) -> None:
        now = database.now()
        for prune in () if dry_run else (counters.prune, suppressions.prune):
            while prune(now=now, limit=retention.STEP):
                pass
        pruned = retention.prune(now=now, dry_run=dry_run)
        self.stdout.write(
            f"{'would delete' if dry_run else 'deleted'} {pruned.deliveries} deliveries and "
            f"{pruned.challenges} challenges that were over for {settings.KEEP_DAYS} days"
        )
        if not dry_run:
            while chain.seal(now=now):  # where no process sweeps
                pass
            if entries := chain.prune(now=now):
                self.stdout.write(f"deleted {entries} entries of the audit")
        for row in pruned.stayed:
            self.stderr.write(str(row))
