"""``manage.py otpmail_key``: a new key for ``OTPMAIL_KEYS``; or whether an old one can go."""

from datetime import UTC, datetime
from typing import Any, override

from django.core.management.base import CommandError, CommandParser

from otpmail.conf import settings
from otpmail.crypto import keys
from otpmail.exceptions import NotHereError
from otpmail.management.migrated import MigratedCommand
from otpmail.operations import retiring


class Command(MigratedCommand):
    """Prints, and writes nothing anywhere."""

    help = (
        "Makes a key and prints it as id=value, for OTPMAIL_KEYS or a file of secrets. "
        "With --retire it tells what still stands under an old one, and fails while anything does. "
        "To revoke a stolen one, take it out there and name its id in OTPMAIL_REVOKED_KEYS."
    )
    requires_system_checks = ()  # the first key is made before the settings are right
    requires_migrations_checks = False  # and before there is a table

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--id", help="the key's id; by default the day, as 2026-11-24")
        which.add_argument("--retire", metavar="ID", help="tell whether this key can be taken out")

    @override
    def handle(self, *, id: str | None, retire: str | None, **_: Any) -> None:
        if retire is not None:
            self._tell(retire)
            return
        value = keys.new()
        try:
            key = keys.Key(id or f"{datetime.now(UTC):%Y-%m-%d}", value)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{key.id}={value}")

    def _tell(self, key_id: str) -> None:
        self.check_migrations()
        found = [use for use in retiring.key_uses(key_id) if use.count]
        for use in found:
            until = use.until
            until_when = f"until {until:%Y-%m-%d %H:%M:%S %Z}" if until else "for good"
            self.stdout.write(f"{use.count} {use.what}, {until_when}")
        if receipts := retiring.receipts(key_id):
            self.stdout.write(
                f"{receipts} confirmed challenges; without the key their receipts cannot be checked"
            )
        if key_id == _current():
            raise CommandError(f"{key_id!r} is current: put another key before it first.")
        if found:
            raise CommandError(f"Keep {key_id!r} until then, or lose what stands under it.")
        self.stdout.write(f"Nothing that waits stands under {key_id!r}{_where(key_id)}.")


def _current() -> str | None:
    try:
        return keys.current().id
    except NotHereError:  # all are revoked
        return None


def _where(key_id: str) -> str:
    if key_id in settings.REVOKED_KEYS:
        return ", which is revoked"
    return "" if key_id in keys.readable() else ", which this process does not know"
