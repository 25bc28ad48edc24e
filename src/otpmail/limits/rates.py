"""How many mails an address gets, and how many a client asks for.

In: an address, who asks, the time. Out: nothing, or `OverCap` with when to ask again.
Knows nothing of: codes, what is mailed.

No cap is for all together: one would stop everybody. What is taken joins the caller's transaction,
so an issue that is rolled back takes nothing, and a refusal takes nothing either.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain

from otpmail.addresses.mailboxes import mailbox_of
from otpmail.addresses.requester import Client
from otpmail.conf import settings
from otpmail.limits import lockout
from otpmail.limits.counters import Allowance, look, take
from otpmail.results import Cap, OverCap

DEVICE_KEPT = timedelta(days=180)
"""How long a device is known after it last confirmed a code."""


class MailLimits:
    """The room for mails that one client asks for: asked for each, and taken of all at the end.

    So what many share, as an office's address, is held by nobody while other rows are written.
    """

    def __init__(self, client: Client, now: datetime) -> None:
        self._client = client
        self._now = now
        self._mailboxes: list[str] = []
        self._found: list[Allowance] = []

    def check(self, recipient: str, *, owner: str | None = None) -> OverCap | None:
        """Ask for one more mail. Tells if there is no room for it; holds nothing.

        For a new code it names its ``owner``, who may have to wait after wrong ones.
        """
        mailboxes = [*self._mailboxes, mailbox_of(recipient)]
        refused = self._look(mailboxes, owner)
        if refused is None:
            self._mailboxes = mailboxes
        return refused

    def take(self) -> OverCap | None:
        """Take it, or tell that others took it meanwhile. The last thing a transaction does."""
        while not take(self._found, self._now):
            if refused := self._look(self._mailboxes):
                return refused
        return None

    def _look(self, mailboxes: Sequence[str], owner: str | None = None) -> OverCap | None:
        by_client = [*of_client("client", self._client, settings.CLIENT_QUOTA, len(mailboxes))]
        by_recipient = [
            (_of_recipient(mailbox, mails), _of_device(mailbox, self._client, mails))
            for mailbox, mails in Counter(mailboxes).items()
        ]
        budget = [] if owner is None else [lockout.of(owner)]
        rows = look([*budget, *by_client, *chain.from_iterable(by_recipient)])
        for one in budget:
            if retry_at := lockout.locked_out_until(one, rows, self._now):
                return OverCap(retry_at=retry_at, cap=Cap.FAILURES)
        found = by_client
        for one in by_client:
            if retry_at := one.room_at(rows, self._now):
                return OverCap(retry_at=retry_at, cap=Cap.CLIENT)
        for usual, of_device in by_recipient:
            retry_at = usual.room_at(rows, self._now)
            device_has_room = of_device.among(rows) and not of_device.room_at(rows, self._now)
            if retry_at and not device_has_room:
                return OverCap(retry_at=retry_at, cap=Cap.RECIPIENT)
            found.append(of_device if retry_at else usual)
        self._found = found
        return None


def remember(recipient: str, client: Client, now: datetime) -> None:
    """Know the device from now on: it confirmed a code that this address got.

    A stranger who floods the address then cannot lock its owner out.
    """
    if client.known_by:
        _of_device(mailbox_of(recipient), client).make(now, kept=DEVICE_KEPT)


def of_client(
    kind: str, client: Client, quota: Sequence[int], at_once: int = 1
) -> Iterator[Allowance]:
    """Give what a client takes from, the narrowest first: its own, and each network's around it."""
    if not client.counted_as:
        return
    yield Allowance(kind, client.counted_as, quota, at_once)
    for network, times in client.counted_wider.items():
        yield Allowance(kind, network, [number * times for number in quota], at_once)


def _of_recipient(mailbox: str, mails: int) -> Allowance:
    return Allowance("recipient", mailbox, settings.RECIPIENT_QUOTA, mails)


def _of_device(mailbox: str, client: Client, mails: int = 1) -> Allowance:
    name = f"{mailbox}\0{client.known_by}"
    return Allowance(
        "device", name, settings.TRUSTED_DEVICE_QUOTA if client.known_by else (), mails
    )
