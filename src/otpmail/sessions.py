"""Whose a code is where nobody is signed in: a random id that the browser's session keeps.

In: a request with a session. Out: an owner, for ``otpmail.challenges``.
Knows nothing of: users, challenges.

It is no member's key, or whoever types an address would spend its owner's budget; and not the
session's own key, which changes at sign-in and is a secret.
"""

import secrets

from django.http import HttpRequest

KEY = "otpmail.owner"


def owner(request: HttpRequest) -> str:
    """Give the owner of what this browser asks for: the same until its session ends."""
    whose = request.session.get(KEY)
    if not isinstance(whose, str):
        whose = request.session[KEY] = secrets.token_urlsafe()
    return whose
