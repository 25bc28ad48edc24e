"""Who lives: a process that ended although nobody ended it is noticed.

In: a running site. Out: sentences about processes that ended by themselves, and how many threads,
files and bytes each has.
Knows nothing of: faults, laws.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.site import Kept, Site

EVERY_SECONDS = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Looks ten times a second which of a site's processes are there.

    Whoever ends one says so before, by `ends`. Workers that are ``supervised`` are started anew.
    """

    def __init__(self, site: Site, *, supervised: bool) -> None:
        self._site = site
        self._supervised = supervised
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch")
        self._expected: set[int] = set()
        self._known: dict[int, str] = {}
        self.ended: list[str] = []
        self.restarts = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._ending.set()
        self._thread.join()

    def ends(self, pid: int) -> None:
        """Expect that this process, and what it started, ends."""
        self._expected |= {pid, *children(pid)}

    def _look(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            there = dict(processes(self._site))
            for pid in self._known.keys() - there.keys() - self._expected:
                if not self._restarts(pid):
                    self.ended.append(f"{self._known[pid]} (process {pid}) ended by itself")
            self._known = there

    def _restarts(self, pid: int) -> bool:
        ended = [kept for kept in self._site.workers if kept.process.pid == pid]
        if self._supervised:
            for kept in ended:
                kept.up()
                self.restarts += 1
        return self._supervised and ended != []


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What one process holds."""

    threads: int
    files: int
    rss_mb: float


def processes(site: Site) -> Iterator[tuple[int, str]]:
    """Name the processes that send or answer, and live: kiosks' masters and their children too."""
    for kept in site.kiosks:
        yield from _named(kept, kept.process.pid)
        for child in children(kept.process.pid):
            yield from _named(kept, child)
    for kept in site.workers:
        yield from _named(kept, kept.process.pid)


def children(pid: int) -> list[int]:
    """Name the processes that this one started."""
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return []


def size(pid: int) -> Size | None:
    """Measure one process; None if it is gone."""
    with contextlib.suppress(OSError):
        threads, files = (len([*Path(f"/proc/{pid}/{what}").iterdir()]) for what in ("task", "fd"))
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Size(threads=threads, files=files, rss_mb=pages * PAGE / 2**20)
    return None


def _named(kept: Kept, pid: int) -> Iterator[tuple[int, str]]:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state not in "ZX":
            yield pid, kept.output.stem
