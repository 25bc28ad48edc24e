"""A real SMTP server on a free port of this machine, whose replies a test can bend."""

import asyncio
import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import django
from aiosmtpd import smtp
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope, Session

logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd tells every command

DJANGOS_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
OUR_BACKEND = "otpmail.backends.smtp.EmailBackend"
OK = "250 2.0.0 Ok: queued as 4F2A"


class MailServer:
    """Keeps what it takes, after ``delay_seconds`` and when it ``may_take`` it.

    ``rcpt`` and ``data`` are lists of replies: they are used up, but for the last one.
    """

    def __init__(self) -> None:
        self.host, self.port = "127.0.0.1", 0
        self._arrived = threading.Condition()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what came, and take what comes."""
        self.rcpt = ["250 2.1.5 Ok"]
        self.data = [OK]
        self.mails: list[EmailMessage] = []
        self.delay_seconds = 0.0
        self.may_take: Callable[[], object] = lambda: True
        self.in_hand = 0
        """Mails that came and are not answered yet."""
        self.sessions = 0

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self,
        server: smtp.SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        replies: list[str],
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        return replies

    async def handle_RCPT(  # noqa: N802
        self,
        server: smtp.SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[Any],
    ) -> str:
        reply = self._next(self.rcpt)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: smtp.SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.in_hand += 1
        try:
            await asyncio.sleep(self.delay_seconds)
            while not self.may_take():
                await asyncio.sleep(0.01)
        finally:  # who went away is not waited for
            self.in_hand -= 1
        reply = self._next(self.data)
        if reply.startswith("2"):
            assert isinstance(envelope.content, bytes)
            with self._arrived:
                self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
                self._arrived.notify_all()
        return reply

    def wait_for(self, count: int, seconds: float = 60) -> list[EmailMessage]:
        """Wait until so many mails are here."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.mails) >= count, seconds)
            assert arrived, f"{len(self.mails)} of {count} mails in {seconds} s"
            return list(self.mails)

    @staticmethod
    def _next(replies: list[str]) -> str:
        return replies.pop(0) if len(replies) > 1 else replies[0]


TURNS = 10


class ClosingController(Controller):
    """Leaves no session open behind it, as aiosmtpd's own does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._taken: list[smtp.SMTP] = []

    def factory(self) -> smtp.SMTP:
        self._taken.append(super().factory())
        return self._taken[-1]

    def stop(self, no_assert: bool = False) -> None:
        asyncio.run_coroutine_threadsafe(self._close_all(), self.loop).result()
        super().stop(no_assert)

    async def _close_all(self) -> None:
        for listening in self.server.sockets:  # closed at once, it would drop whom it just took in
            self.loop.remove_reader(listening.fileno())
        # Who was taken in has a transport some turns later, and a socket is closed one turn later.
        for _ in range(TURNS):
            for session in self._taken:
                if session.transport is not None:
                    session.transport.abort()
            await asyncio.sleep(0)


@contextlib.contextmanager
def running(
    server: MailServer | None = None, port: int = 0, **options: Any
) -> Iterator[MailServer]:
    """Run a server until the block ends; port 0 takes a free one. ``options`` are aiosmtpd's."""
    server = server or MailServer()
    controller = ClosingController(
        server, hostname=server.host, port=port or free_port(), **options
    )
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


def route_to(settings: Any, port: int, *, backend: str = OUR_BACKEND, timeout: float = 30) -> None:
    """Let the default route lead to a port of this machine."""
    route_through(settings, backend, host="127.0.0.1", port=port, timeout=timeout)


def route_through(settings: Any, backend: str, **options: Any) -> None:
    """Let the default route be a backend."""
    if django.VERSION < (6, 1):  # there a test runner's locmem stands in this setting
        settings.EMAIL_BACKEND = backend
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}


def routes_to(settings: Any, *, timeout: float = 30, **ports: int) -> None:
    """Let routes of these names lead, in this order, to ports of this machine."""
    if django.VERSION < (6, 1):
        settings.EMAIL_BACKEND = OUR_BACKEND
    options = {"host": "127.0.0.1", "timeout": timeout, "min_warm": 0}
    settings.MAILERS = {
        route: {"BACKEND": OUR_BACKEND, "OPTIONS": options | {"port": port}}
        for route, port in ports.items()
    }
    settings.OTPMAIL_ROUTES = tuple(ports)


RESERVED = 500
_reserved: deque[socket.socket] = deque()


def free_port() -> int:
    """Find a port that nobody listens on, and keep it from all who do not ask for it by number.

    A socket is bound to it and does not listen: connections are refused, the kernel gives the port
    to nobody, and a server that sets SO_REUSEADDR can have it. The oldest is let go in the end.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    _reserved.append(sock)
    if len(_reserved) > RESERVED:
        _reserved.popleft().close()
    port: int = sock.getsockname()[1]
    return port


def text_of(mail: EmailMessage) -> str:
    """Give the text part of a mail."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())
