"""A refused sign-in rests for minutes, for all processes of this host.

1. Where the server refuses a sign-in for good, a file says until when nobody asks again, and what
   the server said. It lies in a folder of this user's in the temporary directory.
2. Until then each opening with the same credentials, and the same token if they have one, fails
   with the same refusal, and nothing is connected to.
3. Whoever comes first afterwards puts the end off, under a lock, before it asks: one asks for all.
4. A sign-in that is taken is marked in the file. Until one was, they are asked one by one, under
   a lock: a wrong password would be tried by all couriers before the first answer came.

Where no such folder can be had, a process minds only itself. Processes with temporary directories
of their own (systemd's ``PrivateTmp``, containers) do not share.

In: what opens a session, and names for server and credentials. Out: the same, with rests.
Knows nothing of: what the credentials are, and whoever asks.
"""

import contextlib
import fcntl
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeGuard

from otpmail.smtp import hints
from otpmail.smtp.backoff import JITTER, LASTING
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import Phase, RefusedError, TimedOutError
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Session

MOST_BYTES = 16 * 1024
WORKED = b'{"worked": true}'

GLANCE_SECONDS = 0.05
"""Between two looks whether another process has its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pause:
    until: float
    """Wall-clock seconds: processes share no other clock."""
    pause: float
    code: int
    text: str
    of: str
    """What of the credentials was refused, if they change."""

    @property
    def left(self) -> float:
        """Seconds that it lasts; no more than any pause does, whatever the clock was set to."""
        return min(max(0.0, self.until - time.time()), LASTING[1] * (1 + JITTER))

    def refusal(self) -> RefusedError:
        told = f"{self.text}\n(a sign-in was refused; not asked again for {self.left:.0f} s)"
        reply = Reply(self.code, tuple(told.encode("ascii", "replace").split(b"\n")))
        words = f"{Phase.AUTH} was refused with {self.code}, and rests"
        error = RefusedError(words, phase=Phase.AUTH, reply=reply)
        error.retry_after = self.left
        error.hint = hints.of_opening(error)
        return error


class SignInBackoff:
    """Opens sessions. All of one ``name`` share a file; it holds for those of one ``of`` alone."""

    def __init__(self, opens: Callable[[Deadline], Session], name: str, *, of: str = "") -> None:
        self.of = of
        self._opens = opens
        self._name = name
        self._own: _Pause | None = None
        """Where there is no file."""
        self._worked = False
        self._turn = threading.Lock()

    def __call__(self, deadline: Deadline) -> Session:
        """Open a session. Raises the refusal while it rests, else what opening one raises."""
        with contextlib.ExitStack() as turn:
            if not self._has_worked():
                self._wait(turn, deadline)
                if self._has_worked():
                    turn.close()  # the others need not wait for this one
            return self._ask(deadline)

    def _has_worked(self) -> bool:
        if not self._worked:
            with contextlib.suppress(OSError):
                self._worked = (folder() / self._name).read_bytes() == WORKED
        return self._worked

    def _wait(self, turn: contextlib.ExitStack, deadline: Deadline) -> None:
        """Wait until no other thread and no other process asks with these credentials."""
        left = deadline.left()
        if not self._turn.acquire(timeout=-1 if left is None else left):
            raise TimedOutError("no sign-in was answered in time", phase=Phase.POOL)
        turn.callback(self._turn.release)
        with contextlib.suppress(OSError):
            file = _opened(f"{self._name}.turn")
            turn.callback(os.close, file)
            while not _locks(file):
                if deadline.left() == 0:
                    raise TimedOutError("no sign-in was answered in time", phase=Phase.POOL)
                time.sleep(GLANCE_SECONDS)

    def _ask(self, deadline: Deadline) -> Session:
        rest = self._take()
        try:
            session = self._opens(deadline)
        except BaseException as error:
            if is_refused_sign_in(error):
                self._write(self._begun(error.reply, rest))
            elif rest is not None:
                self._write(rest)  # it came not as far: somebody else may ask at once
            raise
        if rest is not None or not self._worked:
            self._mark()
        return session

    def _mark(self) -> None:
        """Take note that it worked; another token's rest stands, and is not this one's to end."""
        with self._locked() as file:
            rest = self._read(file)
            if rest is None or rest.of == self.of:
                self._put(file, None)
            else:
                self._worked = True

    def _take(self) -> _Pause | None:
        """Take the turn to ask. Returns the rest that was over, if there was one."""
        with self._locked() as file:
            rest = self._read(file)
            if rest is None or rest.of != self.of:
                return None
            if rest.left > 0:
                raise rest.refusal()
            self._put(file, _longer(rest))
            return rest

    def _begun(self, reply: Reply, earlier: _Pause | None) -> _Pause:
        rest = _Pause(
            until=0.0, pause=LASTING[0], code=reply.code, text=reply.text[:200], of=self.of
        )
        return _lasting(rest) if earlier is None else _longer(replace(rest, pause=earlier.pause))

    def _write(self, rest: _Pause) -> None:
        with self._locked() as file:
            self._put(file, rest)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int | None]:
        """Open the file for this process alone; ``None`` if there can be none."""
        with contextlib.ExitStack() as stack:
            file: int | None = None
            with contextlib.suppress(OSError):
                file = _opened(self._name)
                stack.callback(os.close, file)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _read(self, file: int | None) -> _Pause | None:
        if file is None:
            return self._own
        try:
            read = json.loads(os.pread(file, MOST_BYTES, 0))
            return _Pause(
                until=float(read["until"]),
                pause=float(read["pause"]),
                code=int(read["code"]),
                text=str(read["text"]),
                of=str(read["of"]),
            )
        except (OSError, ValueError, TypeError, KeyError):  # empty, or cut off
            return None

    def _put(self, file: int | None, rest: _Pause | None) -> None:
        self._own, self._worked = rest, rest is None
        if file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(file, 0)
                os.pwrite(file, json.dumps(asdict(rest)).encode() if rest else WORKED, 0)


def _opened(name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(folder() / name, flags, 0o600)


def _locks(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def folder() -> Path:
    """Give this user's folder, made if need be. Raises ``OSError`` if it is anybody else's."""
    path = Path(tempfile.gettempdir()) / f"otpmail-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or path.is_symlink():
        raise PermissionError(path)
    return path


def is_refused_sign_in(error: BaseException) -> TypeGuard[RefusedError]:
    """Whether the server knows who asks and refuses it for good."""
    if not isinstance(error, RefusedError) or error.phase is not Phase.AUTH:
        return False
    return error.reply.code // 100 == 5  # noqa: PLR2004 - RFC 5321, 4.2.1


def _longer(rest: _Pause) -> _Pause:
    return _lasting(replace(rest, pause=min(2 * rest.pause, LASTING[1])))


def _lasting(rest: _Pause) -> _Pause:
    jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return replace(rest, until=time.time() + rest.pause * jitter)
