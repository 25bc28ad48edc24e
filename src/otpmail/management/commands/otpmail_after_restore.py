"""``manage.py otpmail_after_restore``: before any process starts on a database out of a dump.

See docs/how-to/restore.md.
"""

from datetime import datetime
from typing import Any, override

from django.core.management.base import CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from otpmail.db import database
from otpmail.management.migrated import MigratedCommand
from otpmail.operations import restoring


class Command(MigratedCommand):
    """Drops or releases once and ends. May be run again."""

    help = (
        "Says what becomes of mails that waited in a dump which was restored here: --drop them, "
        "or --release them to be sent. Run it before any process that sends is started."
    )

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--drop", action="store_true", help="send none of them; people are told to ask again"
        )
        which.add_argument(
            "--release", action="store_true", help="send all of them; some may arrive twice"
        )
        parser.add_argument(
            "--enqueued-before",
            metavar="MOMENT",
            help="only what was enqueued before, as 2026-11-25T12:00:00+00:00; by default now",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")

    @override
    def handle(self, *, drop: bool, enqueued_before: str | None, dry_run: bool, **_: Any) -> None:
        before = database.now() if enqueued_before is None else _moment(enqueued_before)
        act = restoring.drop if drop else restoring.release
        result = act(before, dry_run=dry_run)
        verb = ("would be " if dry_run else "") + ("dropped" if drop else "released")
        self.stdout.write(
            f"{result.queued} deliveries enqueued before {before.isoformat()} were queued: "
            f"{result.taken} {verb}, {result.kept} are held by living processes of this host, "
            f"{result.queued - result.taken - result.kept} were nobody's."
        )


def _moment(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:  # of the right form, and no moment
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandError(
            f"{text!r} is no moment with its offset, as 2026-11-25T12:00:00+00:00 or ...Z."
        )
    return moment
