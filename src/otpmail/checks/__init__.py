"""What is wrong with a project's settings, said when it starts, each with an id and a remedy.

In: the settings. Out: Django's check messages; each hint names the setting to change.
Knows nothing of: what a check looks at.

``values`` come first, since the others believe them: whether each is of its type (``validators``).
Then ``codes``, ``routes`` (how mail leaves), ``project`` (what otpmail stands in), ``databases``
and ``templates``, of whose pages ``visible_text`` is what a person sees.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.core.checks import CheckMessage, Tags, register

from otpmail.checks import codes, databases, project, routes, templates, values

REFERENCE = "https://otpmail.readthedocs.io/en/stable/reference/checks.html"


def address_of(check_id: str) -> str:
    """Give the address of what the documentation says of a check."""
    return f"{REFERENCE}#{check_id.replace('.', '-').lower()}"


def linked(check: Callable[..., Iterable[CheckMessage]]) -> Callable[..., list[CheckMessage]]:
    """Let each hint end with the address of its check."""

    @wraps(check)
    def linked(**kwargs: Any) -> list[CheckMessage]:
        messages = list(check(**kwargs))
        for message in messages:
            message.hint = f"{message.hint}\n\tSee {address_of(str(message.id))}"
        return messages

    return linked


register(linked(databases.check_sqlite))
register(linked(databases.check_isolation))
register(linked(databases.check_routers))
register(linked(project.check_flush))


@register()
@linked
def check_settings(**_: Any) -> Iterable[CheckMessage]:
    """Look at each setting by itself, and only if all are of their type at what they say."""
    wrong = [*values.names(), *values.types()]
    if wrong:
        return wrong
    rules = (
        *(
            routes.routes_known,
            routes.encryption,
            routes.rates,
            routes.hedging,
            routes.domains,
            routes.sender,
        ),
        *(routes.timeouts, routes.short_timeouts, routes.plain_routes, routes.sessions),
        *(routes.error_mails,),
        *(project.time_zones, project.engine, project.leases, project.couriers, project.metrics),
        project.audit_days,
        *(codes.ring, codes.purposes, codes.lives, codes.digits, codes.caps, codes.links),
        templates.mails,
    )
    return [message for rule in rules for message in rule()]


@register(Tags.security, deploy=True)
@linked
def check_deployment(**_: Any) -> Iterable[CheckMessage]:
    """Look at what matters where it is deployed, if all settings are of their type."""
    if list(values.types()):
        return []
    rules = (codes.own_keys, codes.strong_keys, codes.private_links)
    return [message for rule in rules for message in rule()]
