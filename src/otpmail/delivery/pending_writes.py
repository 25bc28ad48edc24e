"""What a server took is not sent again because it could not be written down.

1. A mail was accepted, and the database does not take the word: it is away, read-only, locked.
2. The process remembers the mail, and tries again until it is written. It keeps the lease if it
   can, and no round of this process sends the mail meanwhile.
3. Others who took the lapsed lease meanwhile find the mail settled when they look before sending.

In: what writes it down. Out: the same call, again and again, in a thread of its own.
Knows nothing of: mails, engines. What is remembered is lost only with the process.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import Error, IntegrityError, close_old_connections, connections

from otpmail.conf import settings
from otpmail.db import database
from otpmail.delivery import leases
from otpmail.exceptions.foreign import ends_process
from otpmail.outcomes.describing import log_fault
from otpmail.runtime.loop import Loop

AGAIN_SECONDS = 0.1
"""Between two attempts to write: less than who takes the lease needs to reach the envelope."""

REST_SECONDS = 60.0
FAILURES = 3
"""Of one pass: then the database is taken to be away for all."""

log = logging.getLogger("otpmail.delivery.courier")


@dataclass(frozen=True, slots=True)
class _Pending:
    holder: str
    record: Callable[[], object]


_lock = threading.Lock()
_pending: dict[UUID, _Pending] = {}
_in_work: set[UUID] = set()


def known() -> set[UUID]:
    """Name the deliveries that are remembered."""
    with _lock:
        return set(_pending)


def remember(delivery_id: UUID, holder: str, record: Callable[[], object]) -> None:
    """Have ``record`` called until it raises no fault of the database.

    Waits for it in the calling thread if no thread can be had, or if as many are remembered
    as a process may have in memory.
    """
    with _lock:
        if not _pending:
            log.error("Email accepted, and the database does not take it: tried until it does")
        _pending[delivery_id] = _Pending(holder, record)
        is_full = len(_pending) > settings.QUEUE_SIZE
    while (is_full or not _writer.ensure()) and delivery_id in known():
        _write(delivery_id)
        time.sleep(AGAIN_SECONDS)
    _writer.wake()


def finish(seconds: float) -> None:
    """Wait until all is written, or the seconds are over: then say what is not."""
    until = time.monotonic() + seconds
    while known() and time.monotonic() < until:
        time.sleep(AGAIN_SECONDS)
    if left := known():
        log.error("Email accepted and not recorded, and so sent again: %s", sorted(map(str, left)))


def _write_all() -> float:
    failures = 0
    try:
        for delivery_id in known():
            failures += not _write(delivery_id)
            if failures == FAILURES:
                break
        if left := known():
            _keep(left)
            return AGAIN_SECONDS
    finally:
        connections.close_all()
    return REST_SECONDS


def _write(delivery_id: UUID) -> bool:
    """Try once, unless another thread does. Returns False if it is not written."""
    with _lock:
        pending = _pending.get(delivery_id)
        if pending is None or delivery_id in _in_work:
            return pending is None
        _in_work.add(delivery_id)
    is_written = False
    try:
        is_written = _record(delivery_id, pending)
    finally:
        with _lock:
            _in_work.discard(delivery_id)
            if is_written:
                del _pending[delivery_id]
                if not _pending:
                    log.info("Email: all that was accepted is recorded")
    return is_written


def _record(delivery_id: UUID, pending: _Pending) -> bool:
    """Write it. Returns False if it is worth another try."""
    try:
        pending.record()
    except IntegrityError as error:
        _tell_loss(delivery_id, error)
    except Error:
        close_old_connections()
        return False
    except BaseException as error:
        if ends_process(error):
            raise
        _tell_loss(delivery_id, error)
    return True


def _tell_loss(delivery_id: UUID, error: BaseException) -> None:
    close_old_connections()
    log_fault(log, f"Email acceptance cannot be recorded delivery={delivery_id}", error)


def _keep(delivery_ids: set[UUID]) -> None:
    try:
        with _lock:
            holders = {one.holder for one in _pending.values()}
        for holder in holders:
            leases.renew(delivery_ids, holder, now=database.now())
    except Error:
        close_old_connections()


_writer = Loop("otpmail-unrecorded", _write_all)


def _forget_in_child() -> None:
    # What the parent remembers the parent writes; its thread and its lock did not come along.
    global _lock, _writer
    _lock, _writer = threading.Lock(), Loop("otpmail-unrecorded", _write_all)
    _pending.clear()
    _in_work.clear()


os.register_at_fork(after_in_child=_forget_in_child)
