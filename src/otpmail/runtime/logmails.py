"""A mail that a log handler makes is told of in the log, and causes no other mail there.

In: this thread's stack. Out: whether a handler makes a mail just now, and may; marks on records.
Knows nothing of: which handler it is, rows, routes.

1. A mail that is made while a handler handles a record is the log's (`being_handled`).
2. What becomes of it is logged with a mark (`extra`), which a queue before a handler keeps.
3. A handler that handles a marked record, or one that was logged while another was handled, makes
   no mail (`is_marked`, `is_nested`). Else one address in ``ADMINS`` that is refused would be
   mailed without end.
4. A handler that hands its record on to another one logs nothing by that, however many there are.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from logging import Handler, Logger, LogRecord
from logging.handlers import QueueListener

MARK = "otpmail_of_log_mail"

_is_about_one = ContextVar("otpmail_of_log_mail", default=False)


type Chain = list[LogRecord]
"""What was logged at once: a record, and what handlers handed on of it; the last one first."""

LOGS = Logger.callHandlers.__code__
HANDLES = frozenset({LOGS, QueueListener.handle.__code__, Handler.handle.__code__})
"""Where ``logging`` gives a record to handlers, and a handler to another. A handler's own
``handle`` may not call the one of ``Handler``."""


def being_handled() -> list[Chain]:
    """Give what handlers are at work on in this thread, what was logged last first."""
    chains: list[Chain] = []
    is_logged = True
    frame = sys._getframe(1)  # noqa: SLF001 - as ``logging`` itself finds who logs
    while frame is not None:
        if frame.f_code in HANDLES:
            if is_logged:
                chains.append([])
            chains[-1].append(frame.f_locals["record"])
            is_logged = frame.f_code is LOGS
        frame = frame.f_back  # type: ignore[assignment]
    return chains


def is_marked(handled: Sequence[Chain]) -> bool:
    """Tell whether a mail that is made now would tell of a mail of the log.

    A record that a handler made of a marked one is as good as marked; one that a buffer kept from
    before is not.
    """
    last = handled[0][0]
    return any(
        getattr(record, MARK, False) and record.created <= last.created for record in handled[0]
    )


def is_nested(handled: Sequence[Chain]) -> bool:
    """Tell whether it was logged while something else was handled, maybe by the same handler."""
    return len(handled) > 1


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
