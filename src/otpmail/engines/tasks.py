"""Ids go through ``django.tasks``: a backend of ``TASKS`` carries them, its workers send.

1. A task is one delivery's id. It claims the row, does one round, and gives the row back.
2. What must be tried again is enqueued for its time, where the backend can wait; else a sweep
   finds it.
3. Such a worker has no hook to sweep from, and may end after each task, so the processes that
   enqueue do all the sweeping.

In: ids. Out: tasks; in a worker, rounds.
Knows nothing of: codes, mails, which backend.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, override
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from otpmail.db import compat, database
from otpmail.delivery import courier, holders, leases, pending_writes
from otpmail.engines.base import SettingError
from otpmail.engines.broker import BROKER_QUEUES, BrokerEngine
from otpmail.exceptions.foreign import ends_process
from otpmail.models import Queue
from otpmail.outcomes.describing import log_fault

ALIAS = "otpmail"

DECLINED_SECONDS = 1.0
"""Until a task is tried again that this process could not do."""

log = logging.getLogger("otpmail.engine")


class TasksEngine(BrokerEngine):
    """Enqueues to the alias ``otpmail`` of ``TASKS``."""

    @classmethod
    def check(cls) -> Iterable[SettingError]:
        """Tell what keeps tasks from a worker."""
        kind = type(deliver.get_backend()).__name__
        if kind in ("ImmediateBackend", "DummyBackend"):
            yield SettingError(
                f"TASKS[{ALIAS!r}] is Django's {kind}, which has no workers",
                "Name a backend that has, or set OTPMAIL_ENGINE to the threads engine.",
            )

    @override
    def _publish(self, delivery_id: UUID, queue: Queue) -> None:
        _enqueue(delivery_id, queue)


def _declared(function: Callable[[str], None]) -> Any:
    try:
        return compat.tasks().task(backend=ALIAS, queue_name=BROKER_QUEUES[Queue.CODE])(function)
    except Exception as error:
        raise ImproperlyConfigured(
            f"TASKS needs an alias {ALIAS!r} with QUEUES {list(BROKER_QUEUES.values())} ({error})"
        ) from error


@_declared
def deliver(delivery_id: str) -> None:
    """Do one round with a delivery, if it is nobody's; an id that nobody knows is no fault."""
    try:
        _deliver(UUID(delivery_id))
    except BaseException as error:  # a backend would store a database's words
        if ends_process(error):
            raise
        log_fault(log, f"Email engine: a round failed delivery={delivery_id}", error)


def _deliver(delivery_id: UUID) -> None:
    holder, now = holders.new(), database.now()
    for queue in Queue:
        if leases.claim(holder, queue=queue, now=now, limit=1, only=[delivery_id]):
            ended = courier.run([delivery_id], holder)
            leases.release(holder, but=pending_writes.known())
            wait_seconds = DECLINED_SECONDS if ended.declined else ended.waits[delivery_id]
            if wait_seconds is not None and deliver.get_backend().supports_defer:
                _enqueue(delivery_id, queue, _after(wait_seconds))
            return


def _enqueue(delivery_id: UUID, queue: Queue, run_after: datetime | None = None) -> None:
    deliver.using(queue_name=BROKER_QUEUES[queue], run_after=run_after).enqueue(str(delivery_id))


def _after(wait_seconds: float) -> datetime:
    # Up to a whole second, since RQ cuts the rest off: who comes too early finds nothing due.
    due_at = database.now() + timedelta(seconds=wait_seconds + 1)
    return due_at.replace(microsecond=0)
