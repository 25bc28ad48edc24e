"""``manage.py otpmail_audit``: whether the audit is as it was written."""

from typing import Any, override

from django.core.management.base import CommandError, CommandParser

from otpmail.audit import chain
from otpmail.db import database
from otpmail.management.migrated import MigratedCommand


class Command(MigratedCommand):
    """Looks at all, seals what is new, and fails if anything is wrong."""

    help = "Checks the chain over the audit, tells each fault, and prints the last seal."

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--expect",
            default="",
            metavar="SEAL",
            help="a seal that this command printed earlier, kept where the database is not",
        )

    @override
    def handle(self, *, expect: str, **_: Any) -> None:
        found = list(chain.problems(expect))
        while chain.seal(now=database.now()):
            pass
        for fault in found:
            self.stderr.write(fault)
        if found:
            raise CommandError(f"{len(found)} faults in the audit.")
        self.stdout.write(f"The audit is whole. Its last seal: {chain.anchor() or 'none'}")
