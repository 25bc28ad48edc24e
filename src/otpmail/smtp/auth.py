"""Each way to sign in is a generator: it yields answers and is sent the server's challenges.

In: `Credentials` and the mechanisms that a server offers. Out: a mechanism and its talk.
Knows nothing of: sockets, commands and replies.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field

from otpmail.smtp.errors import (
    InvalidArgumentError,
    Phase,
    TokenError,
    UnsupportedError,
    WireError,
    ends_process,
)

Talk = Generator[bytes | None, bytes, None]
"""Yields the initial response first, ``None`` if the server has to speak first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who signs in. ``token`` gives an OAuth 2 access token; with it no password is used."""

    username: str
    password: str = field(default="", repr=False)
    token: Callable[[], str] | None = field(default=None, repr=False)


def plain(credentials: Credentials) -> Talk:
    """RFC 4616."""
    if "\0" in credentials.username + credentials.password:
        raise InvalidArgumentError("a name or password holds a NUL", phase=Phase.AUTH)
    yield f"\0{credentials.username}\0{credentials.password}".encode()


def login(credentials: Credentials) -> Talk:
    """Two questions, name and password; described in draft-murchison-sasl-login."""
    yield None
    yield credentials.username.encode()
    yield credentials.password.encode()


def cram_md5(credentials: Credentials) -> Talk:
    """RFC 2195: the password stays here, a digest of the server's challenge goes out."""
    challenge = yield None
    digest = hmac.new(credentials.password.encode(), challenge, hashlib.md5).hexdigest()
    yield f"{credentials.username} {digest}".encode()


def xoauth2(credentials: Credentials) -> Talk:
    """Google's and Microsoft's bearer token. A refusal comes as a challenge, answered empty."""
    token = ask_token(credentials)
    if "\1" in credentials.username + token:
        raise InvalidArgumentError("a name or token holds a separator", phase=Phase.AUTH)
    yield f"user={credentials.username}\1auth=Bearer {token}\1\1".encode()
    yield b""


def ask_token(credentials: Credentials) -> str:
    """Ask for a token. Raises `WireError`, whatever its callable raises or gives."""
    if credentials.token is None:
        raise InvalidArgumentError("there is no token", phase=Phase.AUTH)
    try:
        token = credentials.token()  # the project's own code, which may ask a server of its own
    except BaseException as error:
        if isinstance(error, WireError) or ends_process(error):
            raise
        words = f"no token could be had: {type(error).__name__}"
        raise TokenError(words, phase=Phase.AUTH) from error
    if not isinstance(token, str):
        words = f"the token's callable gave no text but {type(token).__name__}"
        raise TokenError(words, phase=Phase.AUTH)
    return token


Mechanism = Callable[[Credentials], Talk]

HIDING: dict[str, Mechanism] = {"CRAM-MD5": cram_md5}
TELLING: dict[str, Mechanism] = {"PLAIN": plain, "LOGIN": login}


def choose(
    credentials: Credentials, offered: Collection[str], *, encrypted: bool
) -> list[tuple[str, Mechanism]]:
    """List the mechanisms to try, best first.

    Under TLS the one that costs one round trip; in the clear the one that hides the password.
    Raises `UnsupportedError` if the server offers none of them.
    """
    if credentials.token is not None:
        known: dict[str, Mechanism] = {"XOAUTH2": xoauth2}
    else:
        hiding = HIDING if _can_digest() else {}
        known = TELLING | hiding if encrypted else hiding | TELLING
    usable = [(name, mechanism) for name, mechanism in known.items() if name in offered]
    if not usable:
        raise UnsupportedError(
            "the server offers no known way to sign in",
            phase=Phase.AUTH,
            said=" ".join(sorted(offered)).encode("ascii", "replace"),
        )
    return usable


def _can_digest() -> bool:
    """Whether this host has the digest of CRAM-MD5, which FIPS forbids."""
    try:
        hmac.new(b"", b"", hashlib.md5)
    except ValueError:
        return False
    return True
