"""Database servers of a benchmark's own, which may die: the shared ones are not touched.

1. A server runs until its block ends, and holds one database that is filled once: the template.
2. Each trial gets a copy of it, so that none sees the rows of another.
3. What a fault changes in the server, the fault takes back.

In: a kind's name. Out: URLs, and what can be done to a server.
Knows nothing of: sites, laws.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, ClassVar

TEMPLATE = "chaos_template"

type Row = Mapping[str, Any]


class Database(ABC):
    """One server, or one directory of files, with the databases of all trials."""

    kind: ClassVar[str]
    python_path: ClassVar[str] = ""
    """Where Django finds the driver, if that is not among what all need."""

    def __init__(self) -> None:
        self.tokens: list[str] = []  # of the members in the template

    @abstractmethod
    def url(self, name: str) -> str:
        """Name a database as the site's settings do."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Make an empty one."""

    @abstractmethod
    def copy(self, name: str) -> None:
        """Make a copy of the template."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove one, whoever is connected."""

    @abstractmethod
    def rows(self, name: str, query: str) -> list[Row]:
        """Read, over a connection of its own."""

    @abstractmethod
    def execute(self, name: str, statement: str) -> None:
        """Write, over a connection of its own, with a superuser's rights."""

    def unwritable(self, name: str) -> AbstractContextManager[None]:
        """Refuse all writes, and cut the sessions that stand."""
        raise NotImplementedError

    def stalled(self, name: str) -> AbstractContextManager[None]:
        """Answer no commit; what has a limit of its own fails at it."""
        raise NotImplementedError

    def cut(self, name: str) -> int:
        """End all sessions of a database. Returns how many."""
        raise NotImplementedError

    def idle_limit(self, name: str, seconds: int) -> AbstractContextManager[None]:
        """End each session that idles so long."""
        raise NotImplementedError

    def restart(self) -> None:
        """End all sessions and start anew, as an upgrade does."""
        raise NotImplementedError

    def crash(self) -> None:
        """Stop at once: what was not committed is gone."""
        raise NotImplementedError

    def start(self) -> None:
        """Start, and wait until it answers."""
        raise NotImplementedError


def seconds_of(value: object) -> float:
    """Give a time of any driver in seconds since 1970: aware, or in UTC."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
