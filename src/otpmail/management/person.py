"""The base of commands for one person's rows: their address, and an owner besides.

In: an address, an owner. Out: what was done for them; and under which revoked keys entries stand
of which nobody can tell whose they are.
Knows nothing of: what is done.
"""

from abc import ABC, abstractmethod
from typing import Any, override

from django.core.management.base import CommandError, CommandParser

from otpmail import audit
from otpmail.exceptions import InvalidRecipientError, NotHereError
from otpmail.management.migrated import MigratedCommand


class PersonCommand(MigratedCommand, ABC):
    """Does something for a person, and tells of it."""

    @abstractmethod
    def act(self, address: str, owner: str | None) -> Any:
        """Do it. Raises `InvalidRecipientError`, and `NotHereError` for a key that is not here."""

    @abstractmethod
    def tell(self, done: Any) -> None:
        """Print what came of it."""

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="the e-mail address; case does not matter")
        parser.add_argument("--owner", help="and whatever was issued for this owner")

    @override
    def handle(self, *, address: str, owner: str | None, **_: Any) -> None:
        try:
            done = self.act(address, owner)
        except (InvalidRecipientError, NotHereError) as error:
            raise CommandError(str(error)) from None
        for key_id in audit.unattributable_keys():
            self.stderr.write(
                f"Entries of the audit stand under {key_id!r}, which is revoked: "
                "nobody can tell whose they are."
            )
        self.tell(done)
