"""What foreign code raises stays where it arose: it ends no thread and no round, and floods no log.

In: any exception. Out: whether it asks the process to end; whether it may be told once more.
Knows nothing of: what is done about it.

Templates, mail backends and key services may raise what is no ``Exception``: the panic of a Rust
extension derives from ``BaseException``. Whoever calls them catches that, and asks here.
"""

import logging
import threading
import time
from typing import Any

from django.dispatch import Signal

log = logging.getLogger("otpmail")


def ends_process(error: BaseException) -> bool:
    """Tell whether it is Ctrl-C or ``sys.exit`` in the main thread, which must be let through."""
    asks = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
    return asks and threading.current_thread() is threading.main_thread()


def send_signal(signal: Signal, **named: Any) -> None:
    """Send a signal as ``send_robust`` does, and let no receiver's panic out either."""
    try:
        signal.send_robust(**named)
    except BaseException as error:
        if ends_process(error):
            raise
        # The words of a receiver's error are the project's, and may quote what is in its hands.
        log.error(  # noqa: TRY400
            "Email: a receiver of a signal failed: %s", type(error).__name__
        )


class OncePerMinute:
    """Lets each thing be told once a minute."""

    SECONDS = 60
    MOST = 100
    """Things that are remembered."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def may_log(self, thing: str) -> bool:
        """Say whether it has not been told for a minute, and take it as told now."""
        now = time.monotonic()
        if now - self._told_at.get(thing, -self.SECONDS) < self.SECONDS:
            return False
        while len(self._told_at) >= self.MOST:
            self._told_at.pop(next(iter(self._told_at)), None)
        self._told_at[thing] = now
        return True
