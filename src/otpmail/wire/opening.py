"""A session is opened in the order the standards give: connect, TLS, greet, sign in.

In: a `Server` and a deadline. Out: a `Session` on which a mail can be sent at once.
Knows nothing of: mails and pools.
"""

import binascii
import ssl
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from otpmail.wire import auth, commands
from otpmail.wire.channel import Channel
from otpmail.wire.connecting import connect
from otpmail.wire.deadlines import Deadline
from otpmail.wire.errors import (
    InPhase,
    InsecureChannelError,
    Phase,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from otpmail.wire.modes import Mode, memory
from otpmail.wire.replies import Reply
from otpmail.wire.resolving import resolver
from otpmail.wire.session import Features, Session, Timeouts

GO_ON = 334
WEAK = frozenset({504, 534})
"""The mechanism, not the password, was refused (RFC 4954, 4 and 6): another may do."""
NO_EHLO = frozenset({500, 501, 502, 504})
"""EHLO is unknown to it (RFC 5321, 3.2)."""


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
    context = None if server.security is Security.NONE else _context(server)
    sock = connect(server.host, server.port, limit=server.timeouts.connect, deadline=deadline)
    session = Session(
        Channel(sock),
        host=server.host,
        port=server.port,
        timeouts=server.timeouts,
        ceiling=min(server.ceiling, memory.ceiling(server.host, server.port)),
    )
    try:
        _prepare(session, server, context, deadline)
    except BaseException:
        session.close()
        raise
    return session


def _context(server: Server) -> ssl.SSLContext:
    """Give the context before anything is connected. Its files may be missing or no good."""
    with InPhase(Phase.TLS):
        try:
            if callable(server.context):
                return server.context()
            return server.context or ssl.create_default_context()
        except OSError as error:
            words = getattr(error, "reason", None) or error.strerror or type(error).__name__
            words = f"a TLS file cannot be used: {words}"
            raise InsecureChannelError(words, phase=Phase.TLS) from error


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
        _sign_in(session, server.credentials, deadline)


def _encrypt(session: Session, server: Server, context: ssl.SSLContext, deadline: Deadline) -> None:
    session.channel.encrypt(context, server.host, deadline=deadline.sooner(server.timeouts.tls))


def _greet(session: Session, server: Server, deadline: Deadline) -> None:
    name = _local_name(session, server, deadline)
    line = commands.ehlo(name)
    reply = session.command(line, phase=Phase.EHLO, deadline=deadline)
    if reply.code in NO_EHLO:
        line = commands.helo(name)
        _expect(session.command(line, phase=Phase.EHLO, deadline=deadline), Phase.EHLO)
        session.features = Features()
        return
    session.features = Features.read(_expect(reply, Phase.EHLO))


def _local_name(session: Session, server: Server, deadline: Deadline) -> str:
    """Give this host's name, or its address where nobody tells the name (RFC 5321, 4.1.4)."""
    look_up = server.local_name
    if isinstance(look_up, str):
        return look_up
    with InPhase(Phase.EHLO):
        try:
            return resolver.resolve(look_up, look_up, deadline.sooner(NAME_WITHIN))
        except TimeoutError:
            return session.channel.local_literal()


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


def _sign_in(session: Session, credentials: auth.Credentials, deadline: Deadline) -> None:
    if "AUTH" not in session.features:
        raise UnsupportedError("SMTP AUTH extension not supported by server.", phase=Phase.AUTH)
    encrypted = session.channel.encrypted
    ways = auth.choose(credentials, session.features.mechanisms, encrypted=encrypted)
    for name, mechanism in ways:
        with InPhase(Phase.AUTH):  # a name or password that is no text, a digest that is forbidden
            reply = _talk(session, name, mechanism(credentials), deadline)
        if reply.code not in WEAK:
            break
    _expect(reply, Phase.AUTH)


def _talk(session: Session, name: str, talk: auth.Talk, deadline: Deadline) -> Reply:
    initial = next(talk)
    line = commands.auth(name, initial)
    reply = session.command(line, phase=Phase.AUTH, deadline=deadline)
    if reply.code == GO_ON and initial is not None and line.count(b" ") == 1:
        # The initial response was too long for a command line.
        line = commands.auth_answer(initial)
        reply = session.command(line, phase=Phase.AUTH, deadline=deadline)
    while reply.code == GO_ON:
        line = _answer(talk, reply)
        reply = session.command(line, phase=Phase.AUTH, deadline=deadline)
    return reply


def _answer(talk: auth.Talk, challenge: Reply) -> bytes:
    try:
        return commands.auth_answer(talk.send(b64decode(challenge.message)) or b"")
    except StopIteration:
        raise ProtocolError("the server asks on and on", phase=Phase.AUTH) from None
    except binascii.Error:
        raise ProtocolError("a challenge is not base64", phase=Phase.AUTH) from None


def _expect(reply: Reply, phase: Phase) -> Reply:
    if reply.positive:
        return reply
    if reply.code // 100 in {4, 5}:
        raise RefusedError(f"{phase} was refused with {reply.code}", phase=phase, reply=reply)
    raise ProtocolError(f"{phase} was answered with {reply.code}", phase=phase)
