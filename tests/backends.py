"""Mail backends that behave in ways a test needs."""

import gc
import smtplib
import time
from typing import Any, ClassVar

from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend

from otpmail import challenges
from otpmail.models import Challenge


class SlowToOpen(EmailBackend):
    """While its connection is opened, the person cancels."""

    def open(self) -> Any:
        """Take so long that it does not matter any more."""
        for challenge in Challenge.objects.filter(state="pending"):
            challenges.cancel(challenge.purpose, challenge.pk, subject=challenge.subject)
        return super().open()


class Hanging(BaseEmailBackend):
    """Takes three seconds for what should take milliseconds: longer than it is waited for."""

    def send_messages(self, email_messages: Any) -> int:
        """Hang, then send nothing."""
        time.sleep(3)
        return 0


class SendsNothing(BaseEmailBackend):
    """Says nothing of what it sent."""

    def send_messages(self, email_messages: Any) -> None:
        """Send nothing, and do not say so."""


class RefusesTheCancelled(SlowToOpen):
    """And what is cancelled meanwhile it refuses, for now."""

    def open(self) -> Any:
        """Take it for wanted."""

    def send_messages(self, email_messages: Any) -> int:
        """Let the person cancel, then refuse."""
        super().open()
        raise smtplib.SMTPDataError(451, b"4.3.0 later")


class Late(EmailBackend):
    """Takes a mail, when nobody waits for it any more."""

    def send_messages(self, email_messages: Any) -> int:
        """Take it."""
        time.sleep(2.5)
        return len(email_messages)


class Witness(EmailBackend):
    """Looks at everything of otpmail's that is alive while it has the mail in hand."""

    seen: ClassVar[list[tuple[str, list[str]]]] = []
    """The code, and what each object says of itself."""

    def send_messages(self, email_messages: Any) -> int:
        """Look, and take the mail."""
        ours = [o for o in gc.get_objects() if str(type(o).__module__).startswith("otpmail")]
        self.seen.append((email_messages[0].body.split()[0], [repr(o) for o in ours]))
        return len(email_messages)
