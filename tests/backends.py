"""Mail backends that behave in ways a test needs."""

import functools
import gc
import smtplib
import threading
from typing import Any, ClassVar

from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend

from otpmail import challenges
from otpmail.events import handling
from otpmail.events.handling import ReceivedEvent
from otpmail.models import Challenge, Delivery, DeliveryEvent


class SlowToOpen(EmailBackend):
    """While its connection is opened, the person cancels."""

    def open(self) -> Any:
        """Take so long that it does not matter any more."""
        for challenge in Challenge.objects.filter(state="pending"):
            challenges.cancel(challenge.purpose, challenge.pk, owner=challenge.owner)
        return super().open()


class Hanging(BaseEmailBackend):
    """Hangs until a test lets it go, or until every bound of waiting is over."""

    let_go: ClassVar[threading.Event] = threading.Event()

    def send_messages(self, email_messages: Any) -> int:
        """Hang, then send nothing."""
        self.let_go.wait(90)
        return 0


class SendsNothing(BaseEmailBackend):
    """Says nothing of what it sent."""

    def send_messages(self, email_messages: Any) -> None:
        """Send nothing, and do not say so."""


class BreaksOff(BaseEmailBackend):
    """May have taken the mail."""

    def send_messages(self, email_messages: Any) -> int:
        """Say nothing more."""
        raise smtplib.SMTPServerDisconnected("gone")


class SlowerThanItsReport(EmailBackend):
    """While its connection is opened, a provider that had the mail before tells what came of it."""

    word: ClassVar[DeliveryEvent]

    def open(self) -> Any:
        """Hear it."""
        for delivery in Delivery.objects.filter(state="queued"):
            dead = self.word is DeliveryEvent.BOUNCED
            told = ReceivedEvent(kind=self.word, at=delivery.created_at, address_is_dead=dead)
            handling.handle(delivery.pk, told)
        return super().open()


class FasterThanOurNote(EmailBackend):
    """It tells that a mail was delivered before it tells that it took it."""

    def send_messages(self, email_messages: Any) -> int:
        """Take it, and say so last."""
        for delivery in Delivery.objects.all():
            handling.handle(
                delivery.pk, ReceivedEvent(kind=DeliveryEvent.DELIVERED, at=delivery.created_at)
            )
        return super().send_messages(email_messages)


class RefusesTheCancelled(SlowToOpen):
    """And what is cancelled meanwhile it refuses, for now."""

    def open(self) -> Any:
        """Take it for wanted."""

    def send_messages(self, email_messages: Any) -> int:
        """Let the person cancel, then refuse."""
        super().open()
        raise smtplib.SMTPDataError(451, b"4.3.0 later")


class Late(Hanging):
    """Takes a mail, when nobody waits for it any more."""

    def send_messages(self, email_messages: Any) -> int:
        """Take it."""
        super().send_messages(email_messages)
        return len(email_messages)


class Witness(EmailBackend):
    """Looks at everything of otpmail's that is alive while it has the mail in hand."""

    seen: ClassVar[list[tuple[str, list[str]]]] = []
    """The code, and what each object says of itself."""

    def send_messages(self, email_messages: Any) -> int:
        """Look, and take the mail."""
        ours = [o for o in gc.get_objects() if _is_ours(type(o))]
        self.seen.append((email_messages[0].body.split()[0], [repr(o) for o in ours]))
        return len(email_messages)


@functools.cache
def _is_ours(kind: type) -> bool:
    return str(kind.__module__).startswith("otpmail")
