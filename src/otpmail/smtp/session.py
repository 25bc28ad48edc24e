"""A session is one connection on which commands are answered in their order.

In: command lines. Out: replies, each in its phase; after any other end the session is closed.
Knows nothing of: how it was opened, mails, pools.
"""

import math
import re
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from otpmail.smtp import commands
from otpmail.smtp.channel import Channel
from otpmail.smtp.deadlines import NEVER, Deadline
from otpmail.smtp.errors import CLOSING, Phase, ProtocolError, WireError
from otpmail.smtp.modes import Mode
from otpmail.smtp.replies import MalformedReplyError, Reply, ReplyParser

KEYWORD = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:[ \t=](.*))?", re.ASCII)
LIMIT = re.compile(r"([A-Z]+)=([1-9][0-9]{0,5})")  # RFC 9422, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that each phase may take, within whatever deadline the caller has.

    ``write`` is for as long as nothing at all can be written.

    RFC 5321 (4.5.3.2) asks for five minutes and more; a code is dead by then.
    """

    connect: float = 10.0
    tls: float = 10.0
    reply: float = 30.0
    write: float = 30.0

    @classmethod
    def all(cls, seconds: float) -> "Timeouts":
        """Give every phase the same time, as Django's one ``timeout`` does."""
        return cls(connect=seconds, tls=seconds, reply=seconds, write=seconds)


@dataclass(frozen=True, slots=True)
class Features:
    """What an EHLO reply offers (RFC 5321, 4.1.1.1): keywords in capitals, with parameters."""

    offered: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, reply: Reply) -> "Features":
        """Read the lines after the first; those that are no keyword are passed over."""
        lines = (line.decode("ascii", "replace").strip() for line in reply.lines[1:])
        matches = filter(None, map(KEYWORD.fullmatch, lines))
        offered: dict[str, str] = {}
        for match in matches:
            word, parameters = match[1].upper(), match[2] or ""
            # Old servers write AUTH=LOGIN beside AUTH PLAIN.
            offered[word] = f"{offered[word]} {parameters}" if word in offered else parameters
        return cls(offered)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.offered

    def without(self, keywords: Collection[str]) -> "Features":
        """Give the same but for some that are not kept."""
        kept = {word: text for word, text in self.offered.items() if word not in keywords}
        return Features(kept)

    def limit(self, name: str) -> float:
        """Tell a limit of the server (RFC 9422): RCPTMAX, MAILMAX or RCPTDOMAINMAX."""
        words = self.offered.get("LIMITS", "").upper().split()
        matches = filter(None, map(LIMIT.fullmatch, words))
        return min((int(match[2]) for match in matches if match[1] == name), default=math.inf)

    @property
    def mechanisms(self) -> frozenset[str]:
        """The ways to sign in."""
        return frozenset(self.offered.get("AUTH", "").upper().split())

    @property
    def max_size(self) -> int | None:
        """The most octets a mail may have (RFC 1870); ``None`` if the server sets no limit."""
        size = self.offered.get("SIZE", "")
        return int(size) or None if size.isascii() and size.isdigit() else None

    @property
    def best_mode(self) -> Mode:
        """The best way to send that is offered."""
        if "PIPELINING" not in self.offered:
            return Mode.STEPWISE
        return Mode.CHUNKED if "CHUNKING" in self.offered else Mode.PIPELINED


class Session:
    """One conversation with one server. One thread at a time may use it."""

    def __init__(
        self, channel: Channel, *, host: str, port: int, timeouts: Timeouts, ceiling: Mode
    ) -> None:
        self.channel = channel
        self.host = host
        self.port = port
        self.features = Features()
        self.mails = 0
        """Mails begun on it."""
        self.taken = 0
        """Mails that the server took on it."""
        self.domains: set[str] = set()
        """Those of the recipients that were named on it."""
        self.retired = False
        """Whether it is to carry no more mails, and is left with a good-bye."""
        self.must_reset = False
        """Whether an unfinished mail has to be cleared away first (RFC 3030, 2)."""
        self.rested = False
        """Whether it was kept in a pool since it was last used: it may have died unseen."""
        self.opened_at = self.used_at = time.monotonic()
        self._timeouts = timeouts
        self._ceiling = ceiling
        self._parser = ReplyParser()
        self._leaving = False

    @property
    def mode(self) -> Mode:
        """The way mails are sent on it."""
        return min(self._ceiling, self.features.best_mode)

    @property
    def ended(self) -> bool:
        """Whether nothing more can be said on it."""
        return self._leaving or self.channel.closed

    @property
    def usable(self) -> bool:
        """Whether a mail can be tried on it, as far as this side knows."""
        return not self.ended and not self.retired

    @property
    def room(self) -> float:
        """How many more mails the server takes on it, as far as it said so (RFC 9422, 4.1)."""
        return self.features.limit("MAILMAX") - self.mails

    @property
    def settled(self) -> bool:
        """Whether every octet that came has been understood as a reply."""
        return self._parser.empty

    def begins(self, recipients: Collection[str]) -> None:
        """Count a mail that is begun on it."""
        self.mails += 1
        self.domains.update(map(domain_of, recipients))

    def quiet(self) -> bool:
        """Look, without a round trip, whether the server still seems to be there."""
        return self.usable and self.settled and self.channel.quiet()

    def command(self, line: bytes, *, phase: Phase, deadline: Deadline) -> Reply:
        """Write one command and read its reply."""
        self.write(line, phase=phase, deadline=deadline)
        return self.reply(phase=phase, deadline=deadline)

    def write(self, data: bytes, *, phase: Phase, deadline: Deadline) -> None:
        """Write a flight of commands, and bodies, at once."""
        try:
            limit = self._timeouts.write
            self.channel.write(data, phase=phase, limit=limit, deadline=deadline)
        except WireError:
            self.close()
            raise

    def reply(self, *, phase: Phase, deadline: Deadline) -> Reply:
        """Read the next reply. A malformed, missing or late one closes the session."""
        step = deadline.sooner(self._timeouts.reply)
        try:
            while (reply := self._parser.next()) is None:
                self._parser.feed(self.channel.read(phase=phase, deadline=step))
        except MalformedReplyError as error:
            self.close()
            said = self._parser.unread
            raise ProtocolError(str(error), phase=phase, said=said) from error
        except WireError as error:
            self.close()
            error.said = self._parser.unread
            raise
        self.used_at = time.monotonic()
        if reply.code == CLOSING:
            self._leaving = True
        return reply

    def begin_quit(self) -> None:
        """Say good-bye without waiting for the answer."""
        if not self.ended:
            try:
                self.write(commands.QUIT, phase=Phase.QUIT, deadline=Deadline.after(1.0))
            except WireError:
                return
            self._leaving = True

    def end_quit(self, deadline: Deadline = NEVER) -> None:
        """Wait for the answer to good-bye (RFC 5321, 4.1.1.10) and close."""
        if not self.channel.closed:
            try:
                self.reply(phase=Phase.QUIT, deadline=deadline)
            except WireError:
                return
            finally:
                self.close()

    def quit(self, deadline: Deadline) -> None:
        """Take leave politely; never raises."""
        if not self.ended:
            self.begin_quit()
            self.end_quit(deadline)
        self.close()

    def close(self) -> None:
        """Close at once, without a word; so does a forked child with its parent's sessions."""
        self.channel.close()


def domain_of(recipient: str) -> str:
    """Give the domain that a recipient's limit is counted by (RFC 9422, 4.3)."""
    return recipient.rpartition("@")[2].lower()
