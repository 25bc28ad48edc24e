"""``manage.py otpmail_key``: a new key, ready to stand first in ``OTPMAIL_KEYS``."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from otpmail import keys


class Command(BaseCommand):
    """Prints the key, and writes it nowhere."""

    help = (
        "Makes a key and prints it as id=value, for OTPMAIL_KEYS or a file of secrets. "
        "To revoke a stolen one, take it out there and name its id in OTPMAIL_REVOKED_KEYS."
    )
    requires_system_checks = ()  # the first key is made before the settings are right

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a name for the key."""
        parser.add_argument("--id", help="the key's id; by default the day, as 2026-11-24")

    def handle(self, *, id: str | None, **_: Any) -> None:  # noqa: A002 - the option's name
        """Make a key."""
        value = keys.new()
        try:
            key = keys.Key(id or f"{datetime.now(UTC):%Y-%m-%d}", value)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{key.id}={value}")
