"""Anymail's events, whose signatures Anymail has checked, become reports.

In: Anymail's signal ``tracking``. Out: a `Report` for the delivery that the mail's metadata names.
Knows nothing of: what follows from a report.

A view of Anymail's answers 200 when nothing is raised here, and 500 when something is: then the
provider comes again. An event of a mail that is none of ours is no reason to come again.
"""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from anymail.signals import EventType, RejectReason, tracking
from django.dispatch import receiver

from otpmail import database, reports
from otpmail.messages import METADATA
from otpmail.models import Reported
from otpmail.reports import Report

WORDS = {
    EventType.DEFERRED: Reported.DEFERRED,
    EventType.DELIVERED: Reported.DELIVERED,
    EventType.REJECTED: Reported.REJECTED,
    EventType.FAILED: Reported.REJECTED,
    EventType.BOUNCED: Reported.BOUNCED,
    EventType.COMPLAINED: Reported.COMPLAINED,
}
"""All other events (queued, opened, clicked) tell nothing new of a mail's way."""

NOT_SENT_ANY_MORE = frozenset(
    {RejectReason.INVALID, RejectReason.BOUNCED, RejectReason.SPAM, RejectReason.UNSUBSCRIBED}
)
"""Why a provider will not send to an address at all: it bounced or complained before."""

FOR_GOOD = re.compile(r"\b5\.(?:1\.\d{1,3}|2\.1)\b|\bpermanent\b|\bhard bounce\b", re.IGNORECASE)
"""A bad address or a disabled mailbox (RFC 3463, 3.2 and 3.3), or a provider's own words for it.
A full mailbox or a blocked sender is neither, and Anymail's reasons do not tell them apart."""

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""No time of an event is before it; some databases keep none that is much earlier."""

log = logging.getLogger("otpmail.webhooks")


@receiver(tracking, dispatch_uid="otpmail")
def hear(event: Any, esp_name: str, **_: Any) -> None:
    """Take one event. Raises what the database raises."""
    word = WORDS.get(_text(event.event_type))
    if word is None:
        return
    delivery_id = _delivery_id(event.metadata)
    if delivery_id is None or not reports.take(delivery_id, _report(event, esp_name, word)):
        log.info("Email event of an unknown mail provider=%s event=%s", esp_name, word)


def _report(event: Any, esp_name: str, word: Reported) -> Report:
    now = database.now()
    rejected = _text(event.reject_reason)
    told = " ".join(filter(None, (rejected, _text(event.description), _text(event.mta_response))))
    return Report(
        word=word,
        at=_moment(event.timestamp, now),
        reason=f"{esp_name}: {told}" if told else esp_name,
        address_is_dead=_is_dead(rejected, word, told),
    )


def _text(value: object) -> str:
    """Read what should be text or None, and may be anything that JSON has."""
    try:
        return "" if value is None else str(value)
    except ValueError:  # a number of too many digits
        return ""


def _moment(told: object, now: datetime) -> datetime:
    """Read a time. Whoever is ahead of us would have the last word; one of long ago is none."""
    if not isinstance(told, datetime):
        return now
    moment = told if told.tzinfo else told.replace(tzinfo=UTC)
    return min(moment, now) if moment >= FIRST else now


def _is_dead(reject_reason: str, word: Reported, told: str) -> bool:
    match word:
        case Reported.REJECTED:
            return reject_reason in NOT_SENT_ANY_MORE
        case Reported.BOUNCED:
            return reject_reason == RejectReason.INVALID or bool(FOR_GOOD.search(told))
        case _:
            return False


def _delivery_id(metadata: Any) -> UUID | None:
    try:
        return UUID(metadata[METADATA]) if isinstance(metadata, Mapping) else None
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
