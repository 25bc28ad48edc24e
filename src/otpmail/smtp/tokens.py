"""A token is asked for before each session; one that is refused gives way to a new one, once.

In: a server whose credentials give tokens, and a name for both. Out: what opens sessions.
Knows nothing of: who gives a token, and how long it is good.

What rests is the token that was refused, and not whoever has it: the next may be good.
"""

import functools
import hashlib
import hmac
from dataclasses import replace

from otpmail.smtp import hints
from otpmail.smtp.auth import Credentials, ask_token
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import RefusedError, WireError
from otpmail.smtp.handshake import Server, open_session
from otpmail.smtp.session import Session
from otpmail.smtp.sign_in_backoff import SignInBackoff, is_refused_sign_in


class WithTokens:
    """Opens sessions; one of these for each pool."""

    def __init__(self, server: Server, credentials: Credentials, name: str) -> None:
        self._server = server
        self._credentials = credentials
        self._name = name
        self._last: SignInBackoff | None = None

    def __call__(self, deadline: Deadline) -> Session:
        """Open a session. Raises what asking for the token or opening raises."""
        token = self._ask()
        try:
            return self._resting(token)(deadline)
        except RefusedError as error:
            if not is_refused_sign_in(error) or (new := self._ask()) == token:
                raise
        return self._resting(new)(deadline)

    def _ask(self) -> str:
        try:
            return ask_token(self._credentials)
        except WireError as error:
            error.hint = hints.of_opening(error)
            raise

    def _resting(self, token: str) -> SignInBackoff:
        digest = hmac.new(self._name.encode(), token.encode("utf-8", "replace"), hashlib.sha256)
        of, last = digest.hexdigest(), self._last
        if last is None or last.of != of:
            credentials = replace(self._credentials, token=lambda: token)
            server = replace(self._server, credentials=credentials)
            self._last = last = SignInBackoff(
                functools.partial(open_session, server), self._name, of=of
            )
        return last
