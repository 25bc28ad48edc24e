"""What a browser asked for, tab by tab, kept in its session and nowhere else.

In: a request with a session, a challenge's id. Out: the address that was typed, where to go next.
Knows nothing of: whether an address is known.

A challenge's id stands in a page's address. Without the session it is good for nothing, so another
browser has no share in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest

KEY = "otpmail.signin"

MOST = 6
"""As many are remembered; more than can be open at a time by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """One challenge, as the browser that asked for it knows it."""

    challenge_id: UUID
    address: str
    """As it was typed."""
    next: str = ""
    """Where to go afterwards; it was safe for the host that asked."""


def keep(request: HttpRequest, tab: Tab) -> None:
    """Remember it as the newest."""
    others = [row for row in _rows(request) if row[0] != str(tab.challenge_id)]
    row = [str(tab.challenge_id), tab.address, tab.next]
    request.session[KEY] = [*others, row][-MOST:]


def find(request: HttpRequest, challenge_id: UUID | str) -> Tab | None:
    """Find what this browser asked for under an id."""
    for known, address, following in _rows(request):
        if known == str(challenge_id):
            return Tab(challenge_id=UUID(known), address=address, next=following)
    return None


def forget(request: HttpRequest) -> None:
    """Forget all that this browser asked for."""
    request.session.pop(KEY, None)


def _rows(request: HttpRequest) -> Iterator[list[str]]:
    yield from request.session.get(KEY, [])
