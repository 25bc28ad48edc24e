"""What an engine's sweep does besides claiming: leases, what was lost, what is over.

1. Leases of what is in hand are lengthened.
2. Leases that lapsed, or whose holder died, are taken away.
3. A row of this engine's own that its memory does not know is put there: its hint was lost.
4. Challenges end whose life is over, or whose key was revoked.
5. Once a minute the audit's new entries are sealed, in a thread of its own: a key service that
   hangs must not keep mails and routes from being looked at.

In: an engine's holder and its schedule. Out: ids that are free again.
Knows nothing of: threads, mails.
"""

import time
from uuid import UUID

from django.db import connections

from otpmail import closing
from otpmail.audit import chain
from otpmail.conf import settings
from otpmail.db import database
from otpmail.delivery import leases, pending_writes
from otpmail.engines.schedule import Schedule
from otpmail.runtime.loop import Loop

END_SECONDS = 0.2
"""What of a sweep may be spent on ending challenges; if more are over, the next begins at once."""


SEAL_SECONDS = 60
"""How often a process asks whether the audit has what no seal knows."""


class Maintenance:
    """Run by one thread, every ``OTPMAIL_SWEEP_SECONDS``."""

    def __init__(self, holder: str, schedule: Schedule) -> None:
        self._holder = holder
        self._schedule = schedule
        self._due_at = 0.0
        self._seal = Loop("otpmail-seal", self._seal_some)

    @property
    def due_in_seconds(self) -> float:
        """How long until it is due."""
        return max(0.0, self._due_at - time.monotonic())

    def run(self) -> list[UUID]:
        """Do all of it. Returns what others lost."""
        self._due_at = time.monotonic() + settings.SWEEP_SECONDS
        now = database.now()
        # A round that takes longer than a lease is stuck: another may have its mail.
        if stuck := self._schedule.abandon(after_seconds=settings.LEASE_SECONDS):
            leases.release(self._holder, only=stuck)
        if in_hand := self._schedule.in_hand():
            leases.renew(in_hand, self._holder, now=now)
        lost = leases.reap(now=now)
        accepted = pending_writes.known()
        for delivery_id, queue in leases.due_of(self._holder, now=now):
            if delivery_id not in accepted:
                self._schedule.put(delivery_id, queue)
        is_more = closing.expire(now=now, seconds=END_SECONDS)
        is_more |= closing.revoke(now=now, seconds=END_SECONDS)
        if is_more:
            self._due_at = 0.0
        self._seal.ensure()
        return lost

    def end(self) -> None:
        """Let its thread end, when the queue is closed."""
        self._seal.wake()

    def _seal_some(self) -> float | None:
        if self._schedule.is_closed:
            return None
        try:
            return 0.0 if chain.seal(now=database.now()) else SEAL_SECONDS
        finally:
            connections.close_all()
