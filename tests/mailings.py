"""Mails and pools for the tests of the wire."""

import contextlib
import time
from collections.abc import Callable, Iterator

from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import WireError
from otpmail.smtp.handshake import Server, open_session
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.pool import Limits, Pool
from otpmail.smtp.sending import send_all
from otpmail.smtp.session import Session, Timeouts

A_MINUTE = Timeouts.all(60)


def a_mail(number: int = 0, *, to: tuple[str, ...] = ("bob@example.org",), body: str = "") -> Mail:
    content = f"Message-ID: <{number}@example.org>\nSubject: {number}\n\n{body}\n"
    return Mail(sender="alice@example.org", recipients=to, content=content.encode())


def in_seconds(seconds: float = 60.0) -> Deadline:
    return Deadline.after(seconds)


def send(session: Session, mail: Mail, **options) -> Sent | None:
    """Send one mail; raises the error that is its end."""
    (end,) = send_all(session, [mail], **options)
    if isinstance(end, WireError):
        raise end
    return end


def at(place, **options) -> Server:
    """Where a test's server is, with what the test says of it."""
    options.setdefault("timeouts", A_MINUTE)
    options.setdefault("host", place.host)
    options.setdefault("local_name", "client.example.org")
    return Server(port=place.port, **options)


@contextlib.contextmanager
def a_session(place, **options) -> Iterator[Session]:
    session = open_session(at(place, **options), in_seconds())
    try:
        yield session
    finally:
        session.close()


@contextlib.contextmanager
def a_pool(place, *, server: Server | None = None, **limits) -> Iterator[Pool]:
    limits.setdefault("min_warm", 0)
    server = server or at(place)
    pool = Pool(
        lambda deadline: open_session(server, deadline), name="test", limits=Limits(**limits)
    )
    try:
        yield pool
    finally:
        pool.close()


def eventually(claim: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait until something comes true; tells whether it did."""
    end = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
