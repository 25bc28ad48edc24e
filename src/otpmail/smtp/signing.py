"""Signing in goes on to the next way when one is refused: servers list what they cannot do.

In: a session and `Credentials`. Out: nothing, or a `WireError` of the phase AUTH.
Knows nothing of: how each way is made up.

Each way is tried once, as ``smtplib`` does, whatever the refusal: a server that has no password in
the clear to check CRAM-MD5 by answers 535, as if the password were wrong.
"""

import binascii
from base64 import b64decode

from otpmail.smtp import auth, commands
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import (
    BrokenError,
    InPhase,
    Phase,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from otpmail.smtp.refusals import UNKNOWN_COMMAND
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Session

SIGNED_IN = 503
"""What some servers answer where nobody has to sign in any more; ``smtplib`` takes it so, too."""

OF_THE_MECHANISM = UNKNOWN_COMMAND | {501, 504, 534}
"""The mechanism, not the password, was refused (RFC 4954, 4 and 6)."""


def sign_in(session: Session, credentials: auth.Credentials, deadline: Deadline) -> None:
    """Sign in by the first way that works. Raises the refusal that tells most."""
    if "AUTH" not in session.features:
        raise UnsupportedError("SMTP AUTH extension not supported by server.", phase=Phase.AUTH)
    offered, encrypted = session.features.mechanisms, session.channel.encrypted
    refused: list[Reply] = []
    for name, mechanism in auth.choose(credentials, offered, encrypted=encrypted):
        try:
            with InPhase(Phase.AUTH):  # a name or password that is no text, a token's callable
                reply = _talk(session, name, mechanism(credentials), deadline)
        except BrokenError:
            if refused and session.ended:  # it hung up on whom it had refused
                break
            raise
        if reply.positive or reply.code == SIGNED_IN:
            return
        refused.append(reply)
        if session.ended:
            break
    raise _refusal(refused)


def _refusal(replies: list[Reply]) -> RefusedError:
    """Tell one that passes before one that does not, and the password's before the way's."""
    told = min(replies, key=lambda reply: (reply.code // 100, reply.code in OF_THE_MECHANISM))
    words = f"{Phase.AUTH} was refused with {told.code}"
    return RefusedError(words, phase=Phase.AUTH, reply=told)


def _talk(session: Session, name: str, talk: auth.Talk, deadline: Deadline) -> Reply:
    """Go through one way to its end. Raises `ProtocolError` for what is no end."""
    initial = next(talk)
    line = commands.auth(name, initial)
    reply = session.command(line, phase=Phase.AUTH, deadline=deadline)
    if reply.asks_on and initial is not None and line.count(b" ") == 1:
        # The initial response was too long for a command line.
        line = commands.auth_answer(initial)
        reply = session.command(line, phase=Phase.AUTH, deadline=deadline)
    while reply.asks_on:
        line = _answer(talk, reply)
        reply = session.command(line, phase=Phase.AUTH, deadline=deadline)
        if reply.asks_on and line == commands.CANCEL:
            raise ProtocolError("the server asks on and on", phase=Phase.AUTH)
    return reply


def _answer(talk: auth.Talk, challenge: Reply) -> bytes:
    """Answer a challenge, or cancel where nothing is left to say (RFC 4954, 4)."""
    try:
        return commands.auth_answer(talk.send(_decoded(challenge)) or b"")
    except StopIteration:
        return commands.CANCEL


def _decoded(challenge: Reply) -> bytes:
    """Decode a challenge. LOGIN's two are prompts, and some servers write them in plain words."""
    try:
        return b64decode(challenge.message)
    except binascii.Error:
        return b""
