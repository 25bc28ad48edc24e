"""Who holds a lease: a name that tells whether its process still lives.

In: nothing but this process. Out: names such as ``1f0c…/4242/881273/9a…``: host, process, its
start, and a random part that fences one holder in a process from the next.
Knows nothing of: rows.

Only a process of the same boot and the same process namespace can be told dead; any other is taken
to live until its lease lapses.
"""

import hashlib
import os
import secrets
from functools import cache
from pathlib import Path


def new() -> str:
    """Make a name for a new holder of leases in this process."""
    return f"{_host()}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(4)}"


def is_dead(holder: str) -> bool:
    """Tell whether this holder's process has surely ended."""
    host, _, rest = holder.partition("/")
    pid, _, rest = rest.partition("/")
    if host != _host() or not pid.isdecimal():
        return False
    return _is_gone(int(pid)) or _started(int(pid)) not in ("", rest.partition("/")[0])


def lives_here(holder: str) -> bool:
    """Tell whether this holder's process lives on this host, as far as can be told."""
    return holder.partition("/")[0] == _host() and not is_dead(holder)


@cache
def _host() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux: nobody can tell, and all are taken to live
        return secrets.token_hex(8)
    return hashlib.sha256((boot + namespace).encode()).hexdigest()[:16]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        return False
    return _status(pid)[:1] == ["Z"]  # dead, and not yet buried by its parent


def _started(pid: int) -> str:
    """Give the clock tick at which a process started; empty if one may not look."""
    return "".join(_status(pid)[19:20])


def _status(pid: int) -> list[str]:
    # proc(5): state is field 3 and the first after the name, starttime is field 22.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
