"""What a courier's round came to for one delivery, and what a fault makes of it.

In: a step of a round. Out: its results, or those of its fault.
Knows nothing of: mails, routes, rows.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import Error, IntegrityError, close_old_connections

from otpmail.conf import settings
from otpmail.exceptions.foreign import OncePerMinute, ends_process
from otpmail.outcomes import describing
from otpmail.runtime import logmails

PATIENCE_SECONDS = 1
"""How long a statement is tried again: long enough for a connection that the database dropped."""

log = logging.getLogger("otpmail.delivery.courier")
once_per_minute = OncePerMinute()


@dataclass(frozen=True, slots=True)
class Result:
    """What a round came to for one delivery."""

    wait_seconds: float | None = None
    """Until its next round here: None if there is none, 0 if it is due."""
    is_declined: bool = False
    """Whether it is free for other processes, and is to be left to them for a while."""


DONE = Result()
DUE = Result(wait_seconds=0)
DECLINED = Result(is_declined=True)

type Results = dict[UUID, Result]


def guarded(
    step: Callable[[], Results], delivery_ids: Collection[UUID], *, log_mails: Collection[UUID] = ()
) -> Results:
    """Do a step. If it fails, these are tried again after a while, here or elsewhere.

    ``log_mails`` are those whose fate must not be mailed by a log handler.
    """
    try:
        return step()
    except BaseException as error:  # the rows are safe
        if ends_process(error):
            raise
        for delivery_id in delivery_ids:
            # In an outage each row has it each second: somebody is called once a minute.
            is_news = once_per_minute.may_log(f"round {type(error).__name__}")
            log_fault(
                f"Email round failed delivery={delivery_id}",
                error,
                level=logging.ERROR if is_news else logging.WARNING,
                is_log_mail=delivery_id in log_mails,
            )
        again = Result(wait_seconds=min(settings.SWEEP_SECONDS, settings.LEASE_SECONDS / 2))
        return dict.fromkeys(delivery_ids, again)


def log_fault(
    line: str, error: BaseException, *, is_log_mail: bool, level: int = logging.ERROR
) -> None:
    """Log what failed; a mail that a log handler made leads to no further one."""
    level = logmails.level(level, is_log_mail=is_log_mail)
    extra = logmails.extra(is_log_mail=is_log_mail)
    describing.log_fault(log, line, error, level=level, extra=extra)


def retry_on_database_error[T](act: Callable[[], T]) -> T:
    """Try again while the database is away, for a moment."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except Error as error:
            close_old_connections()
            if isinstance(error, IntegrityError) or time.monotonic() >= until:
                raise
            time.sleep(0.1)
