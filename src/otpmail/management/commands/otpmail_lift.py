"""Send codes to an address again, once it was set right: ``manage.py otpmail_lift <address>``."""

from typing import Any, override

from django.core.management.base import CommandError, CommandParser

from otpmail import addresses
from otpmail.db import database
from otpmail.exceptions import InvalidRecipientError
from otpmail.limits import suppressions
from otpmail.management.migrated import MigratedCommand


class Command(MigratedCommand):
    """Lifts the suppression of one address."""

    help = "Send codes again to an address that had bounced."

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address")

    @override
    def handle(self, *, address: str, **_: Any) -> None:
        try:
            address = addresses.canonical(address)
        except InvalidRecipientError as error:
            raise CommandError(str(error)) from None
        if not suppressions.lift(address, now=database.now()):
            raise CommandError("This address is not suppressed.")
        self.stdout.write("Codes are sent to this address again.")
