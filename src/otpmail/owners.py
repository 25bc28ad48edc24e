"""Who holds a lease: a name that tells whether its process still lives.

In: nothing but this process. Out: names such as ``1f0c…/4242/881273/9a…``: host, process, its
start, and a random part that fences one holder in a process from the next.
Knows nothing of: rows.

Only a process of the same boot and the same process namespace can be judged; any other is taken
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


def is_dead(owner: str) -> bool:
    """Tell whether this owner's process has surely ended."""
    host, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    return host == _host() and pid.isdecimal() and _started(int(pid)) != rest.partition("/")[0]


@cache
def _host() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux: nobody can judge, and nobody is judged
        return secrets.token_hex(8)
    return hashlib.sha256((boot + namespace).encode()).hexdigest()[:16]


def _started(pid: int) -> str:
    """Give the clock tick at which a process started; empty if it is gone (proc(5), field 22)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = status.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
