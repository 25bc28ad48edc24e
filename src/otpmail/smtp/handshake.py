"""A session is opened in the order the standards give: connect, TLS, greet, sign in.

In: a `Server` and a deadline. Out: a `Session` on which a mail can be sent at once.
Knows nothing of: mails and pools.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from otpmail.smtp import auth, commands, hints
from otpmail.smtp.channel import Channel
from otpmail.smtp.connecting import connect
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import (
    BrokenError,
    InPhase,
    Phase,
    ProtocolError,
    RefusedError,
    TlsFileError,
    UnsupportedError,
    WireError,
    ends_process,
)
from otpmail.smtp.modes import Mode, memory
from otpmail.smtp.replies import Reply
from otpmail.smtp.resolving import resolver
from otpmail.smtp.session import Features, Session, Timeouts
from otpmail.smtp.signing import sign_in

NAME_WITHIN = 2.0
"""Seconds for the look-up of this host's own name."""


class Security(Enum):
    """How the connection is kept from others' eyes."""

    NONE = "none"
    STARTTLS = "starttls"
    """Begun in the clear; without TLS no mail is sent (RFC 3207)."""
    TLS = "tls"
    """From the first octet (RFC 8314)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where to connect to, and how."""

    host: str
    port: int
    local_name: Callable[[], str] | str
    """This host's, or what looks it up."""
    security: Security = Security.NONE
    context: Callable[[], ssl.SSLContext] | ssl.SSLContext | None = field(default=None, repr=False)
    """What TLS trusts, or what gives it for each session; ``None``: the system's authorities."""
    credentials: auth.Credentials | None = None
    ceiling: Mode = Mode.CHUNKED
    timeouts: Timeouts = field(default_factory=Timeouts)


def open_session(server: Server, deadline: Deadline) -> Session:
    """Open a session.

    Raises a `WireError` of any kind, with the phase that failed; nothing is left open then.
    """
    session = None
    try:
        context = None if server.security is Security.NONE else _context(server)
        session = _connected(server, deadline)
        _prepare(session, server, context, deadline)
    except BaseException as error:
        if session is not None:
            session.close()
        if isinstance(error, WireError):
            encrypted = session is not None and session.channel.encrypted
            security = server.security.value
            error.hint = hints.of_opening(error, security=security, encrypted=encrypted)
        raise
    return session


def _connected(server: Server, deadline: Deadline) -> Session:
    sock = connect(server.host, server.port, limit=server.timeouts.connect, deadline=deadline)
    channel = Channel(sock)
    channel.keep(unanswered_seconds=server.timeouts.write)
    return Session(
        channel,
        host=server.host,
        port=server.port,
        timeouts=server.timeouts,
        ceiling=server.ceiling,
    )


def _context(server: Server) -> ssl.SSLContext:
    """Give the context before anything is connected. Its files may be missing or no good."""
    with InPhase(Phase.TLS):
        try:
            if callable(server.context):
                return server.context()
            return server.context or ssl.create_default_context()
        except OSError as error:
            words = getattr(error, "reason", None) or error.strerror or type(error).__name__
            words = f"a TLS file cannot be used: {words.partition(' (_ssl')[0]}"
            raise TlsFileError(words, phase=Phase.TLS) from error


def _prepare(
    session: Session, server: Server, context: ssl.SSLContext | None, deadline: Deadline
) -> None:
    if context is not None and server.security is Security.TLS:
        _encrypt(session, server, context, deadline)
    _expect(session.reply(phase=Phase.BANNER, deadline=deadline), Phase.BANNER)
    _greet(session, server, deadline)
    if context is not None and server.security is Security.STARTTLS:
        _start_tls(session, server, context, deadline)
        _greet(session, server, deadline)  # what was said in the clear is void (RFC 3207, 4.2)
    if server.credentials is not None:
        sign_in(session, server.credentials, deadline)


def _encrypt(session: Session, server: Server, context: ssl.SSLContext, deadline: Deadline) -> None:
    session.channel.encrypt(context, server.host, deadline=deadline.sooner(server.timeouts.tls))


def _greet(session: Session, server: Server, deadline: Deadline) -> None:
    name = _local_name(session, server, deadline)
    reply = session.command(commands.ehlo(name), phase=Phase.EHLO, deadline=deadline)
    if reply.code // 100 == 5:  # noqa: PLR2004 - RFC 5321, 3.2: some server's only way to say no
        session.features = Features()
        _greet_plainly(session, name, reply, deadline)
        return
    unkept = memory.unkept(server.host, server.port)
    session.features = Features.read(_expect(reply, Phase.EHLO)).without(unkept)


def _greet_plainly(session: Session, name: str, refused: Reply, deadline: Deadline) -> None:
    """Greet as before there were extensions; where that is no use, EHLO's refusal tells why."""
    try:
        reply = session.command(commands.helo(name), phase=Phase.EHLO, deadline=deadline)
    except BrokenError:
        reply = refused
    _expect(reply if reply.positive else refused, Phase.EHLO)


def _local_name(session: Session, server: Server, deadline: Deadline) -> str:
    """Give this host's name, or its address where it has none that is one (RFC 5321, 4.1.4)."""
    name = server.local_name
    if not isinstance(name, str):
        name = _look_up(name, deadline)
    with InPhase(Phase.EHLO):
        return name if commands.is_name(name) else session.channel.local_literal()


def _look_up(name: Callable[[], str], deadline: Deadline) -> str:
    try:
        return str(resolver.resolve(name, name, deadline.sooner(NAME_WITHIN)))
    except BaseException as error:
        if ends_process(error):
            raise
        return ""


def _start_tls(
    session: Session, server: Server, context: ssl.SSLContext, deadline: Deadline
) -> None:
    if "STARTTLS" not in session.features:
        raise UnsupportedError("STARTTLS extension not supported by server.", phase=Phase.STARTTLS)
    reply = session.command(commands.STARTTLS, phase=Phase.STARTTLS, deadline=deadline)
    _expect(reply, Phase.STARTTLS)
    if not session.settled:
        # Somebody on the way may have put it there, to be taken for the server's word under TLS.
        raise ProtocolError("plain text follows STARTTLS", phase=Phase.STARTTLS)
    _encrypt(session, server, context, deadline)


def _expect(reply: Reply, phase: Phase) -> Reply:
    if reply.positive:
        return reply
    if reply.code // 100 in {4, 5}:
        raise RefusedError(f"{phase} was refused with {reply.code}", phase=phase, reply=reply)
    raise ProtocolError(f"{phase} was answered with {reply.code}", phase=phase)
