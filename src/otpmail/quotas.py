"""How many mails an address gets, how many a client asks for, how many codes a subject has open.

In: a subject, an address, who asks, the time. Out: nothing, or `OverCap` with when to ask again.
Knows nothing of: codes, what is mailed.

No cap is for all together: one would stop everybody. What is taken joins the caller's transaction,
so an issue that is rolled back takes nothing, and a refusal takes nothing either.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from otpmail import budgets
from otpmail.clients import Client
from otpmail.conf import settings
from otpmail.counters import Allowance
from otpmail.mailboxes import mailbox_of
from otpmail.models import Challenge, State
from otpmail.results import Cap, OverCap

DEVICE_KEPT = timedelta(days=180)
"""How long a device is known after it last confirmed a code."""


def take_issue(subject: str, recipient: str, client: Client, now: datetime) -> OverCap | None:
    """Take the room for a new challenge and its mail."""
    return _refuses_subject(subject, now) or take_mail(recipient, client, now)


def take_mail(recipient: str, client: Client, now: datetime) -> OverCap | None:
    """Take the room for one mail to this address that this client asks for."""
    taken: list[Allowance] = []
    for allowance in _of_client(client):
        retry_at = allowance.take(now)
        if retry_at is not None:
            _give_back(taken)
            return OverCap(retry_at=retry_at, cap=Cap.CLIENT)
        taken.append(allowance)
    retry_at = _of_recipient(recipient).take(now)
    if retry_at is None or _reserve(recipient, client).take_if_there(now):
        return None
    _give_back(taken)
    return OverCap(retry_at=retry_at, cap=Cap.RECIPIENT)


def remember(recipient: str, client: Client, now: datetime) -> None:
    """Know the device from now on: it confirmed a code that this address got.

    A stranger who floods the address then cannot lock its owner out.
    """
    if client.known_by:
        _reserve(recipient, client).make(now, kept=DEVICE_KEPT)


def _refuses_subject(subject: str, now: datetime) -> OverCap | None:
    # The subject's row is locked first: two who only counted would both find the last room.
    blocked_until = budgets.hold(subject, now)
    if blocked_until is not None:
        return OverCap(retry_at=blocked_until, cap=Cap.FAILURES)
    pending = Challenge.objects.filter(subject=subject, state=State.PENDING, closes_at__gt=now)
    # Compared here: a database's collation may hold 'alice' and 'ALICE' to be one.
    ends = [at for whose, at in pending.values_list("subject", "closes_at") if whose == subject]
    if len(ends) < settings.OPEN_CHALLENGES:
        return None
    return OverCap(retry_at=sorted(ends)[-settings.OPEN_CHALLENGES], cap=Cap.OPEN)


def _of_client(client: Client) -> Iterator[Allowance]:
    """Give what a client takes from, the narrowest first, so that no two wait for each other."""
    if not client.counted_as:
        return
    yield Allowance("client", client.counted_as, settings.CLIENT_QUOTA)
    for network, times in client.counted_wider.items():
        wider = [number * times for number in settings.CLIENT_QUOTA]
        yield Allowance("client", network, wider)


def _give_back(taken: list[Allowance]) -> None:
    for allowance in taken:
        allowance.give_back()


def _of_recipient(recipient: str) -> Allowance:
    return Allowance("recipient", mailbox_of(recipient), settings.RECIPIENT_QUOTA)


def _reserve(recipient: str, client: Client) -> Allowance:
    owner = f"{mailbox_of(recipient)}\0{client.known_by}"
    return Allowance("reserve", owner, settings.DEVICE_RESERVE if client.known_by else ())
