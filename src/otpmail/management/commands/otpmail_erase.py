"""``manage.py otpmail_erase``: a person's rows are gone, and what was pending is cancelled."""

from typing import override

from django.core.management.base import CommandError

from otpmail.management.person import PersonCommand
from otpmail.operations import privacy
from otpmail.operations.deleting import Deleted


class Command(PersonCommand):
    """Erases for good."""

    help = "Ends what is pending for a person and deletes their rows. It cannot be undone."

    @override
    def act(self, address: str, owner: str | None) -> Deleted:
        return privacy.erase(recipient=address, owner=owner)

    @override
    def tell(self, done: Deleted) -> None:
        self.stdout.write(f"Erased {done.count} challenges with their mails.")
        if done.stayed:
            raise CommandError("\n".join(["Not all is gone.", *map(str, done.stayed)]))
