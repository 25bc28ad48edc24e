"""Mail backends that go wrong in every way that a stranger's code can."""

import json
import ssl
from typing import Any, ClassVar

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from tests.panics import Panic


class UnreadableError(Exception):
    """Its words cannot be had, nor its cause."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError

    @property
    def response(self) -> Any:
        """Fail."""
        raise RuntimeError


def raises(error: BaseException | type[BaseException]) -> Any:
    """Make what raises it, whatever it is called with."""

    def fail(*_: Any, **__: Any) -> Any:
        if isinstance(error, BaseException):
            raise error.with_traceback(None)
        raise error

    return fail


ERRORS = {
    "TypeError": TypeError("decoding to str: need a bytes-like object, NoneType found"),
    "ValueError": ValueError("Could not deserialize key data"),
    "JSONDecodeError": json.JSONDecodeError("no", "", 0),
    "UnicodeDecodeError": UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"),
    "SSLError": ssl.SSLError("no cipher"),
    "KeyError": KeyError("token"),
    "RecursionError": RecursionError(),
    "MemoryError": MemoryError(),
    "StopIteration": StopIteration(),
    "GeneratorExit": GeneratorExit(),
    "Panic": Panic(),
    "UnreadableError": UnreadableError(),
}


class Foreign(BaseEmailBackend):
    """Raises ``error`` at ``place``: made, asked what it can, opened, or told to send."""

    error: ClassVar[BaseException] = TypeError()
    place: ClassVar[str] = "send_messages"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.place == "__init__":
            raise self.error.with_traceback(None)
        super().__init__(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Answer what is asked of it."""
        if name == self.place == "send_outcomes":
            return raises(self.error)
        if name == "send_outcomes" and self.place == "hasattr":
            raise self.error.with_traceback(None)
        raise AttributeError(name)

    def open(self) -> Any:
        """Open."""
        if self.place == "open":
            raise self.error.with_traceback(None)

    def close(self) -> None:
        """Fail to."""
        raise self.error.with_traceback(None)

    def send_messages(self, email_messages: Any) -> int:
        """Send."""
        if self.place == "send_messages":
            raise self.error.with_traceback(None)
        return len(email_messages)


class Senseless(BaseEmailBackend):
    """Tells outcomes that are none."""

    told: ClassVar[Any] = None

    def send_outcomes(self, *_: Any, **__: Any) -> Any:
        """Tell."""
        return self.told


class Odd(BaseEmailBackend):
    """Leaves on a mail what no provider left there yet."""

    status: ClassVar[Any] = None

    def send_messages(self, email_messages: Any) -> int:
        """Take it."""
        for mail in email_messages:
            mail.anymail_status = self.status
        return len(email_messages)


class Broken(EmailMessage):
    """A mail that cannot be written out."""

    error: ClassVar[BaseException] = TypeError()

    def message(self, *_: Any, **__: Any) -> Any:
        """Fail."""
        raise self.error.with_traceback(None)
