"""Web processes that only write rows: ``manage.py otpmail_worker`` sends, on this host or others.

In: ids. Out: NOTIFY on PostgreSQL; elsewhere the workers' sweep finds the rows.
Knows nothing of: couriers.
"""

import logging
from collections.abc import Iterable
from typing import override
from uuid import UUID

from django.db import Error

from otpmail.engines import postgres_notify
from otpmail.engines.base import Engine
from otpmail.models import Queue
from otpmail.outcomes.describing import describe

log = logging.getLogger("otpmail.engine")


class WorkerEngine(Engine):
    """Takes nothing itself."""

    def start(self) -> None:
        """Nothing to begin: workers look after the outbox."""

    @override
    def holder(self, queue: Queue) -> str:
        """Leave each row to whichever worker claims it."""
        return ""

    def notify(self, delivery_ids: Iterable[UUID], queue: Queue) -> None:
        """Send NOTIFY, where the database has it."""
        try:
            if postgres_notify.is_available():
                postgres_notify.notify(delivery_ids, queue)
        except Error as error:  # a sweep finds them
            log.warning("Email engine: the workers could not be notified: %s", describe(error))

    def stop(self, seconds: float) -> None:
        """Nothing is in flight."""
