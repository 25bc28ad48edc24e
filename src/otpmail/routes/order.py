"""Which route is tried first, and which then.

In: the routes that a mail may take, its recipients, the routes to avoid. Out: their order.
Knows nothing of: whether a route works just now.
"""

from collections.abc import Sequence
from email.utils import parseaddr
from fnmatch import fnmatchcase

from django.core.mail import EmailMessage

from otpmail.conf import settings


def ordered(routes: Sequence[str], mail: EmailMessage, *, avoid: Sequence[str] = ()) -> list[str]:
    """Put first those that a rule names for the recipient's domain, and last those to avoid."""
    first = _first(mail)
    named = [route for route in first if route in routes]
    rest = [route for route in dict.fromkeys(routes) if route not in named]
    return sorted([*named, *rest], key=lambda route: avoid.index(route) if route in avoid else -1)


def known() -> list[str]:
    """List every route that codes may take."""
    own = (rules.get("ROUTES", ()) for rules in settings.PURPOSES.values())
    return list(dict.fromkeys([*settings.ROUTES, *(route for routes in own for route in routes)]))


def _first(mail: EmailMessage) -> Sequence[str]:
    recipients = mail.recipients()
    if not settings.DOMAIN_ROUTES or not recipients:
        return ()
    domain = parseaddr(str(recipients[0]))[1].rpartition("@")[2].lower()
    rules = settings.DOMAIN_ROUTES.items()
    return next((routes for pattern, routes in rules if fnmatchcase(domain, pattern.lower())), ())
