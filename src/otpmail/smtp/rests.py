"""A refused sign-in rests for minutes, for all processes of this host.

1. Where the server refuses a sign-in for good, a file says until when nobody asks again, and what
   the server said. It lies in a folder of this user's in the temporary directory.
2. Until then each opening with the same credentials fails with the same refusal, and nothing is
   connected to.
3. Whoever comes first afterwards puts the end off, under a lock, before it asks: one asks for all.
4. A sign-in that is taken empties the file.

Where no such folder can be had, a process minds only itself. Processes with temporary directories
of their own (systemd's ``PrivateTmp``, containers) do not share.

In: what opens a session, and a name for server and credentials. Out: the same, with rests.
Knows nothing of: what the credentials are, and whoever asks.
"""

import contextlib
import fcntl
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeGuard

from otpmail.smtp.backoff import JITTER, LASTING
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.errors import Phase, RefusedError
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Session

MOST_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    until: float
    """Wall-clock seconds: processes share no other clock."""
    pause: float
    code: int
    text: str

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
        return error


class Resting:
    """Opens sessions; one of these for each pool."""

    def __init__(self, opens: Callable[[Deadline], Session], name: str) -> None:
        self._opens = opens
        self._name = name
        self._own: _Rest | None = None
        """Where there is no file."""

    def __call__(self, deadline: Deadline) -> Session:
        """Open a session. Raises the refusal while it rests, else what opening one raises."""
        rest = self._take()
        try:
            session = self._opens(deadline)
        except BaseException as error:
            if _is_refused_sign_in(error):
                self._write(_begun(error.reply, rest))
            elif rest is not None:
                self._write(rest)  # it came not as far: somebody else may ask at once
            raise
        if rest is not None:
            self._write(None)
        return session

    def _take(self) -> _Rest | None:
        """Take the turn to ask. Returns the rest that was over, if there was one."""
        with self._locked() as file:
            rest = self._read(file)
            if rest is None:
                return None
            if rest.left > 0:
                raise rest.refusal()
            self._put(file, _longer(rest, rest.code, rest.text))
            return rest

    def _write(self, rest: _Rest | None) -> None:
        with self._locked() as file:
            self._put(file, rest)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int | None]:
        """Open the file for this process alone; ``None`` if there can be none."""
        with contextlib.ExitStack() as stack:
            file: int | None = None
            with contextlib.suppress(OSError):
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                file = os.open(folder() / self._name, flags, 0o600)
                stack.callback(os.close, file)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _read(self, file: int | None) -> _Rest | None:
        if file is None:
            return self._own
        try:
            read = json.loads(os.pread(file, MOST_BYTES, 0))
            return _Rest(
                until=float(read["until"]),
                pause=float(read["pause"]),
                code=int(read["code"]),
                text=str(read["text"]),
            )
        except (OSError, ValueError, TypeError, KeyError):  # empty, or cut off
            return None

    def _put(self, file: int | None, rest: _Rest | None) -> None:
        self._own = rest
        if file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(file, 0)
                os.pwrite(file, json.dumps(asdict(rest)).encode() if rest else b"", 0)


def folder() -> Path:
    """Give this user's folder, made if need be. Raises ``OSError`` if it is anybody else's."""
    path = Path(tempfile.gettempdir()) / f"otpmail-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or path.is_symlink():
        raise PermissionError(path)
    return path


def _is_refused_sign_in(error: BaseException) -> TypeGuard[RefusedError]:
    if not isinstance(error, RefusedError) or error.phase is not Phase.AUTH:
        return False
    return error.reply.code // 100 == 5  # noqa: PLR2004 - RFC 5321, 4.2.1


def _begun(reply: Reply, earlier: _Rest | None) -> _Rest:
    text = reply.text[:200]
    if earlier is not None:
        return _longer(earlier, reply.code, text)
    return _lasting(LASTING[0], reply.code, text)


def _longer(rest: _Rest, code: int, text: str) -> _Rest:
    return _lasting(min(2 * rest.pause, LASTING[1]), code, text)


def _lasting(pause: float, code: int, text: str) -> _Rest:
    jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return _Rest(until=time.time() + pause * jitter, pause=pause, code=code, text=text)
