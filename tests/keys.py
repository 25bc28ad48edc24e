"""A key service, whose keys never leave it."""

import hmac

from otpmail.keys import SigningKey

_VAULT = {"slot 7": b"seven", "slot 8": b"eight"}


class Service(SigningKey):
    """Knows its key by name alone."""

    def sign(self, purpose: str, message: bytes) -> bytes:
        """Have it signed over there."""
        return hmac.digest(_VAULT[self.value], purpose.encode() + b"\0" + message, "sha256")
