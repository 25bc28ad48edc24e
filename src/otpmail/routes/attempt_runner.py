"""An attempt runs in the round's thread, or beside it in one of its own.

In: an attempt, the seconds it has. Out: its end, told in the round's thread; once the round is
over, to ``on_late_result``, in the attempt's.
Knows nothing of: which route is next, hedges.

An attempt that may be hedged, or whose backend does not keep its time, has a thread of its own,
which ends with it; any other runs in the round's. Questions are answered in the round's thread,
so an attempt needs no connection to the database.
"""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from django.db import connections

from otpmail.outcomes import Outcome
from otpmail.routes import transport
from otpmail.routes.attempts import ActiveAttempt, RouteAttempt, RoutedMail
from otpmail.routes.call_queue import CallQueue

TOGETHER_SECONDS = 0.05
"""Reuse the still-valid answer this long between the envelopes of one batch."""

type OnEnd = Callable[[ActiveAttempt, dict[RoutedMail, RouteAttempt]], None]
type OnLateResult = Callable[[int, RouteAttempt], None]


class AttemptRunner:
    """Runs the attempts of one round, whose thread does the calls."""

    def __init__(
        self,
        calls: CallQueue,
        *,
        look: Callable[[], bool],
        on_end: OnEnd,
        on_late_result: OnLateResult | None,
    ) -> None:
        self._calls = calls
        self._look = look
        self._on_end = on_end
        self._on_late_result = on_late_result

    def run_apart(self, active: ActiveAttempt, seconds: float) -> None:
        """Run an attempt in a thread of its own; what it raises is raised in the round."""

        def run_here() -> None:
            try:
                self.run(active, seconds)
            except BaseException as fault:
                if not self._calls.put(partial(self._fail, fault)):
                    raise
            finally:
                connections.close_all()

        target = partial(copy_context().run, run_here)  # what is told there is about the same mails
        thread = threading.Thread(target=target, name=f"otpmail-try-{active.route}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process is ending, and none can be started any more
            self.run(active, seconds)

    def _fail(self, fault: BaseException) -> None:
        if not self._calls.over:
            raise fault

    def run(self, active: ActiveAttempt, seconds: float) -> None:
        """Run an attempt in this thread."""
        ended: dict[RoutedMail, Outcome] = {}
        try:
            ended = self._send(active, seconds)
        finally:
            active.end(ended)
        route_attempts = {mail: active.as_route_attempt(outcome) for mail, outcome in ended.items()}
        if (
            not self._calls.put(partial(self._on_end, active, route_attempts))
            and self._on_late_result is not None
        ):
            for mail, route_attempt in route_attempts.items():
                self._on_late_result(mail.place, route_attempt)

    def _send(self, active: ActiveAttempt, seconds: float) -> dict[RoutedMail, Outcome]:
        of = {id(mail.message): mail for mail in active.mails}
        outcomes = transport.send(
            active.route,
            [mail.message for mail in active.mails],
            seconds=seconds,
            still_valid=lambda message: self._ask(active, of[id(message)]),
        )
        ended = zip(active.mails, outcomes, strict=True)
        return {mail: active.read(mail, outcome) for mail, outcome in ended if outcome is not None}

    def _ask(self, active: ActiveAttempt, mail: RoutedMail) -> bool:
        """Ask whether a mail is valid, for one attempt: before its envelope, and before its body.

        The body waited for the recipient's reply: who answered meanwhile, or was sent another code,
        must not be sent this one after it.
        """
        is_of_body = mail in active.asked
        active.asked[mail] = None
        if is_of_body or time.monotonic() - active.asked_at >= TOGETHER_SECONDS:
            if not self._calls.ask(self._look):
                return False
            active.asked_at = time.monotonic()
        return not (self._calls.over or mail.is_over)
