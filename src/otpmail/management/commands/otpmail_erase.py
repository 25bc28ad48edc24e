"""``manage.py otpmail_erase``: a person's rows are gone, and what was pending is cancelled."""

from django.core.management.base import CommandError

from otpmail.management.person import PersonCommand
from otpmail.operations import privacy
from otpmail.operations.deleting import Deleted


class Command(PersonCommand):
    """Erases for good."""

    help = "Ends what is pending for a person and deletes their rows. It cannot be undone."

    def act(self, address: str, owner: str | None) -> Deleted:
        """Erase."""
        return privacy.erase(recipient=address, owner=owner)

    def tell(self, done: Deleted) -> None:
        """Tell how much, and what stayed."""
        self.stdout.write(f"Erased {done.count} challenges with their mails.")
        if done.stayed:
            raise CommandError("\n".join(["Not all is gone.", *map(str, done.stayed)]))
