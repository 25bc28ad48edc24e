"""How many mails an address gets, and how many a client asks for.

In: an address, who asks, the time. Out: nothing, or `OverCap` with when to ask again.
Knows nothing of: codes, what is mailed.

No cap is for all together: one would stop everybody. What is taken joins the caller's transaction,
so an issue that is rolled back takes nothing, and a refusal takes nothing either.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from otpmail.clients import Client
from otpmail.conf import settings
from otpmail.counters import Allowance
from otpmail.mailboxes import mailbox_of
from otpmail.results import Cap, OverCap

DEVICE_KEPT = timedelta(days=180)
"""How long a device is known after it last confirmed a code."""


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
