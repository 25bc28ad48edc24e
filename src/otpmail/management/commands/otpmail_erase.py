"""``manage.py otpmail_erase``: a person's rows are gone, and what was pending is cancelled."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from otpmail import audit
from otpmail.exceptions import InvalidRecipientError, NotHereError
from otpmail.management.migrated import MigratedCommand
from otpmail.operations import privacy


class Command(MigratedCommand):
    """Erases for good."""

    help = "Ends what is pending for a person and deletes their rows. It cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whose."""
        parser.add_argument("address", help="the e-mail address; case does not matter")
        parser.add_argument("--subject", help="and whatever was issued for this subject")

    def handle(self, *, address: str, subject: str | None, **_: Any) -> None:
        """Erase, and tell how much."""
        try:
            erased = privacy.erase(recipient=address, subject=subject)
        except (InvalidRecipientError, NotHereError) as error:
            raise CommandError(str(error)) from None
        for key_id in audit.nobodys():
            self.stderr.write(
                f"Entries of the audit stand under {key_id!r}, which is revoked: "
                "nobody can tell whose they are."
            )
        self.stdout.write(f"Erased {erased.count} challenges with their mails.")
        if erased.stayed:
            raise CommandError("\n".join(["Not all is gone.", *map(str, erased.stayed)]))
