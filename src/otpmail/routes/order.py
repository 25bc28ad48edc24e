"""Which route is tried first, and which then.

In: the routes that a mail may take, its recipients, the routes to avoid. Out: their order.
Knows nothing of: whether a route works just now.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from django.conf import settings as django_settings
from django.core.mail import EmailMessage

from otpmail import addresses
from otpmail.conf import settings


def ordered(routes: Sequence[str], mail: EmailMessage, *, avoid: Sequence[str] = ()) -> list[str]:
    """Put first those that a rule names for the recipient's domain, and last those to avoid."""
    first = _first(mail)
    named = [route for route in first if route in routes]
    rest = [route for route in dict.fromkeys(routes) if route not in named]
    return sorted([*named, *rest], key=lambda route: avoid.index(route) if route in avoid else -1)


def known() -> list[str]:
    """List every route that codes may take."""
    return list(dict.fromkeys(route for way in route_sets() for route in way))


def route_sets() -> Iterator[Sequence[str]]:
    """Give each set of routes that a code has to choose from."""
    yield settings.ROUTES
    for rules in settings.PURPOSES.values():
        if "ROUTES" in rules:
            yield rules["ROUTES"]


def domain_of(mail: EmailMessage) -> str:
    """Give the domain of a mail's first recipient; empty if there is none."""
    recipients = mail.recipients()
    return addresses.domain_of(recipients[0]) if recipients else ""


def is_from_codes_sender(mail: EmailMessage) -> bool:
    """Tell whether a mail has the sender that codes have."""
    codes = settings.FROM or django_settings.DEFAULT_FROM_EMAIL
    return _bare(mail.from_email) == _bare(codes)


def _bare(sender: object) -> str:
    try:
        return addresses.addr_spec(str(sender)).lower()
    except ValueError:
        return str(sender)


def _first(mail: EmailMessage) -> Sequence[str]:
    domain = domain_of(mail) if settings.DOMAIN_ROUTES else ""
    rules = settings.DOMAIN_ROUTES.items() if domain else ()
    return next((routes for pattern, routes in rules if _fits(domain, pattern)), ())


def _fits(domain: str, pattern: str) -> bool:
    try:
        return fnmatchcase(domain, addresses.in_ascii(pattern).lower())
    except ValueError:  # a check says so
        return False
