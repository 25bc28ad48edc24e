"""A mail that a log handler makes is told of in the log, and causes no other mail there.

In: this thread's stack. Out: whether a handler makes a mail just now, and may; marks on records.
Knows nothing of: which handler it is, rows, routes.

1. A mail that is made while a handler handles a record is the log's (`being_handled`).
2. What becomes of it is logged with a mark (`extra`), which a queue before a handler keeps.
3. A handler that handles a marked record, or one that was logged while another was handled, makes
   no mail (`feeds_itself`). Else one address in ``ADMINS`` that is refused would be mailed without
   end.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from logging import Handler, LogRecord

MARK = "otpmail_of_log_mail"

_is_about_one = ContextVar("otpmail_of_log_mail", default=False)


def being_handled() -> list[LogRecord]:
    """Give the records that handlers are at work on in this thread, the last one first."""
    records = []
    frame = sys._getframe(1)  # noqa: SLF001 - as ``logging`` itself finds who logs
    while frame is not None:
        if frame.f_code is Handler.handle.__code__:
            records.append(frame.f_locals["record"])
        frame = frame.f_back  # type: ignore[assignment]
    return records


def feeds_itself(records: Sequence[LogRecord]) -> bool:
    """Tell whether a mail that is made now would tell of the log's own mail."""
    return len(records) > 1 or any(getattr(record, MARK, False) for record in records)


@contextlib.contextmanager
def about(is_log_mail: bool) -> Iterator[None]:
    """Mark what is told of routes inside, in this thread."""
    token = _is_about_one.set(is_log_mail)
    try:
        yield
    finally:
        _is_about_one.reset(token)


def extra(*, is_log_mail: bool = False) -> dict[str, object]:
    """Give a line's ``extra``."""
    return {MARK: is_log_mail or _is_about_one.get()}


def level(wanted: int, *, is_log_mail: bool) -> int:
    """Give a line's level: nobody is called for the log's own mail."""
    return min(wanted, logging.WARNING) if is_log_mail else wanted
