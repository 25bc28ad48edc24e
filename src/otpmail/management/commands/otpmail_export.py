"""``manage.py otpmail_export``: what is kept of a person, as JSON, for whom asks what is kept."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from otpmail import audit
from otpmail.exceptions import InvalidRecipientError, NotHereError
from otpmail.management.migrated import MigratedCommand
from otpmail.operations import privacy


class Command(MigratedCommand):
    """Prints, and changes nothing."""

    help = "Prints all rows of a person as JSON: of their address, and of their subject."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whose."""
        parser.add_argument("address", help="the e-mail address; case does not matter")
        parser.add_argument("--subject", help="and whatever was issued for this subject")

    def handle(self, *, address: str, subject: str | None, **_: Any) -> None:
        """Print a list of challenges."""
        try:
            rows = privacy.export(recipient=address, subject=subject)
        except (InvalidRecipientError, NotHereError) as error:
            raise CommandError(str(error)) from None
        for key_id in audit.nobodys():
            self.stderr.write(
                f"Entries of the audit stand under {key_id!r}, which is revoked: "
                "nobody can tell whose they are."
            )
        self.stdout.write(json.dumps(rows, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))
