"""A person's time zone, kept by its name, and what the clock shows there.

In: a moment and a name, of the zone data base or an offset (``+0200``). Out: a clock time.
Knows nothing of: who is where.
"""

import zoneinfo
from datetime import datetime, tzinfo

from django.utils import timezone

ZONE_LENGTH = 64


def current(now: datetime) -> str:
    """Name the zone that is active, so that `find` knows it again."""
    name = timezone.get_current_timezone_name()
    if len(name) <= ZONE_LENGTH and _named(name) is not None:
        return name
    return f"{timezone.localtime(now):%z}"


def find(name: str) -> tzinfo:
    """Give the zone of this name, or the project's own where nobody knows it."""
    return _named(name) or _fixed(name) or timezone.get_default_timezone()


def clock(moment: datetime, name: str) -> str:
    """Show a moment as the clocks there do, with the zone's own letters: ``14:05 CET``.

    These tell the two hours of one name apart, when clocks are turned back.
    """
    local = moment.astimezone(find(name))
    letters = local.tzname() or ""
    return f"{local:%H:%M} {'UTC' if letters[:1] in '+-' else ''}{letters}"


def _named(name: str) -> tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None


def _fixed(name: str) -> tzinfo | None:
    try:
        return datetime.strptime(name, "%z").tzinfo
    except ValueError:
        return None
