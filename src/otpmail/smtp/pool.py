"""A pool decides under its lock, and opens, looks at and closes sessions outside it.

In: a function that opens a session. Out: sessions, each lent to one thread, the last used first.
Knows nothing of: mails, and how a session is opened.

A keeper thread does what nobody should wait for: it opens the sessions that are missing, lets go of
those that the server left or that have grown old, and says good-bye.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from otpmail.smtp import hints
from otpmail.smtp.backoff import Backoff
from otpmail.smtp.chore_thread import ChoreThread, run_together
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import InPhase, Phase, TimedOutError, WireError, is_lasting
from otpmail.smtp.session import Session

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between the keeper's looks at the idle sessions."""
OPEN_WITHIN = 30.0
"""Seconds the keeper gives one opening."""

QUIT_WITHIN = 1.0
"""Seconds that good-bye may take, for one session or at exit for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many sessions, and how long each is kept (seconds)."""

    size: int = 8
    """The most sessions at one time."""
    min_warm: int = 1
    """Sessions that the keeper holds open, busy ones included."""
    max_idle: float = 60.0
    max_age: float = 600.0
    max_messages: int = 100


class Pool:
    """Sessions with one server, kept warm. Any thread may use it; a forked child starts empty."""

    def __init__(
        self, open_session: Callable[[Deadline], Session], *, name: str, limits: Limits
    ) -> None:
        self._open_session = open_session
        self.name = name
        self.limits = limits
        self.closed = False
        self._forget()
        _pools.add(self)

    def _forget(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[Session] = []
        self._busy: set[Session] = set()
        self._leaving: list[Session] = []
        self._opening = 0
        self._keeper = ChoreThread(self._tend, name=f"otpmail keeper {self.name}")
        self._backoff = Backoff()

    def __repr__(self) -> str:
        with self._changed:
            state = f"{len(self._idle)} idle, {len(self._busy)} busy, {self._opening} opening"
            return f"<Pool {self.name}: {state} of {self.limits.size}>"

    @contextlib.contextmanager
    def lend(self, deadline: Deadline) -> Iterator[Session]:
        """Lend a session for the length of a ``with`` block."""
        session = self.take(deadline)
        try:
            yield session
        except WireError:
            raise
        except BaseException:
            session.close()  # cut short at an unknown place
            raise
        finally:
            self.give(session)

    def take(self, deadline: Deadline) -> Session:
        """Take a session: the last one used that still seems to be there, or a new one.

        Opens one only if all are busy, and waits for one if they are as many as may be. Raises
        `TimedOutError` if none becomes free in time, and the `WireError` of an opening.
        """
        while True:
            with self._changed:
                session = self._pick(deadline)
            if session is None:
                return self._open(deadline)
            is_good = False
            try:
                is_good = session.quiet() and not self._spent(session)
            finally:
                if not is_good:
                    self.give(session, keep=False)
            if is_good:
                session.rested = True
                return session

    def give(self, session: Session, *, keep: bool = True) -> None:
        """Give a session back. One that is closed, spent or not to be kept is replaced."""
        keep = keep and session.usable and not self._spent(session)
        with self._changed:
            mine = session in self._busy
            self._busy.discard(session)
            if mine and not self.closed:
                (self._idle if keep else self._leaving).append(session)
            self._changed.notify()
            short = self._missing() > 0
        if not mine:
            session.close()  # taken before a fork: the connection is the parent's
        elif self.closed:
            session.quit(Deadline.after(QUIT_WITHIN))
        else:
            self._wake_keeper(at_once=short or not keep)

    def doubt(self) -> None:
        """Let go of all idle sessions: one that had idled less turned out to be dead."""
        with self._changed:
            self._leaving += self._idle
            self._idle.clear()
            self._changed.notify_all()
        self._wake_keeper(at_once=True)

    def warm(self) -> None:
        """Have the keeper open the first sessions now, before any mail asks for one."""
        self._wake_keeper(at_once=True)

    def room(self, session: Session) -> int:
        """Tell how many more mails the session may carry, at least one."""
        return int(max(1, min(self.limits.max_messages - session.mails, session.room)))

    def close(self, within: float = QUIT_WITHIN) -> None:
        """Close for good: say good-bye on all sessions at once and wait no longer than ``within``.

        Sessions that are lent out are closed when they are given back.
        """
        with self._changed:
            self.closed = True
            sessions = self._idle + self._leaving
            self._idle.clear()
            self._leaving.clear()
            self._changed.notify_all()
        if self._keeper.is_alive:
            self._keeper.wake(at_once=True)  # to end
        deadline = Deadline.after(within)
        for session in sessions:
            session.begin_quit()
        for session in sessions:
            session.end_quit(deadline)

    def _pick(self, deadline: Deadline) -> Session | None:
        """Take an idle session, or ``None`` and the right to open one."""
        while not self._idle:
            if self._total() < self.limits.size:
                self._opening += 1
                return None
            if not self._changed.wait(deadline.left()) and deadline.left() == 0.0:
                raise TimedOutError("no session became free in time", phase=Phase.POOL)
        session = self._idle.pop()
        self._busy.add(session)
        return session

    def _open(self, deadline: Deadline) -> Session:
        """Use the right to open one."""
        session = None
        try:
            with InPhase(Phase.POOL):
                session = self._open_session(deadline)
        finally:
            with self._changed:
                self._opening -= 1
                if session is None:
                    self._changed.notify()  # whoever waits may try its own luck
                else:
                    self._busy.add(session)
                    self._backoff.hurry()
        return session

    def _give_rights_back(self, count: int) -> None:
        with self._changed:
            self._opening -= count
            self._changed.notify(count)

    def _total(self) -> int:
        return len(self._idle) + len(self._busy) + self._opening

    def _missing(self) -> int:
        return min(self.limits.min_warm, self.limits.size) - self._total()

    def _spent(self, session: Session) -> bool:
        now, limits = time.monotonic(), self.limits
        return (
            session.mails >= limits.max_messages
            or session.room <= 0
            or now - session.opened_at >= limits.max_age
            or now - session.used_at >= limits.max_idle
        )

    # The keeper's chore.

    def _wake_keeper(self, *, at_once: bool) -> None:
        if not self.closed:
            self._keeper.wake(at_once=at_once)

    def _tend(self) -> float | None:
        """Look after the sessions once. Returns the seconds to the next look, ``None`` to end."""
        with self._changed:
            going = [s for s in self._idle if self._spent(s) or not s.quiet()]
            self._idle = [s for s in self._idle if s not in going]
            going += self._leaving
            self._leaving = []
            if self.closed or not (going or self._idle or self._busy or self.limits.min_warm):
                return None
        try:
            return self._open_missing()
        finally:
            for session in going:
                session.quit(Deadline.after(QUIT_WITHIN))

    def _open_missing(self) -> float:
        """Open all that are missing at the same time: each takes as long as eight round trips.

        After a failure it is one alone, until that works. Returns the seconds to the next look.
        """
        with self._changed:
            due = not self.closed and self._backoff.is_due(time.monotonic())
            missing = max(0, self._missing()) if due else 0
            count = min(missing, 1) if self._backoff.failing else missing
            self._opening += count
        errors: list[BaseException] = []
        if count:
            task = functools.partial(self._open_ahead, errors)
            not_run = run_together(task, count, name=f"otpmail opening {self.name}")
            if not_run:
                self._give_rights_back(not_run)
                errors.append(RuntimeError("no thread can be had"))
        self._report(errors, opened=count > 0)
        return 0.0 if count < missing and not errors else LOOK_EVERY

    def _open_ahead(self, errors: list[BaseException]) -> None:
        try:
            self.give(self._open(Deadline.after(OPEN_WITHIN)))
        except BaseException as error:  # noqa: BLE001 - reported by the keeper
            errors.append(error)

    def _report(self, errors: Sequence[BaseException], *, opened: bool) -> None:
        """Back off if there are errors; log what is news of a row of failures, and its end."""
        with self._changed:
            begins = bool(errors) and self._backoff.failed(errors[0], time.monotonic())
            # One that somebody is opening just now is not there yet.
            works = not errors and (opened or self._missing() + self._opening <= 0)
            ends = works and self._backoff.worked()
        if begins:
            told = "Email: no session could be opened ahead: %s %r"
            level = logging.ERROR if is_lasting(errors[0]) else logging.WARNING
            logger.log(level, told, hints.with_reply(errors[0]), self)
        elif ends:
            logger.info("Email: sessions are opened ahead again: %r", self)

    def _forget_parents(self) -> None:
        """Start empty in a forked child, without a word on the parent's connections."""
        for session in (*self._idle, *self._busy, *self._leaving):
            session.close()
        self._forget()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool._forget_parents()  # noqa: SLF001 - the same module


def _at_exit() -> None:
    deadline = Deadline.after(QUIT_WITHIN)
    for pool in list(_pools):
        pool.close(deadline.left() or 0.0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
