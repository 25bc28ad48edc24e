"""A key service, whose keys never leave it."""

import hmac

from otpmail.crypto.keys import SigningKey

_VAULT = {"slot 7": b"seven", "slot 8": b"eight"}

away: set[str] = set()
"""Purposes for which nothing is signed over there just now."""

asked: list[str] = []
"""For which purposes it was asked to sign."""


class Service(SigningKey):
    """Knows its key by name alone."""

    def sign(self, purpose: str, message: bytes) -> bytes:
        """Have it signed over there."""
        asked.append(purpose)
        if purpose in away:
            raise ConnectionError(f"no way to {self.value} for {message!r}")
        return hmac.digest(_VAULT[self.value], purpose.encode() + b"\0" + message, "sha256")
