"""A reply is one or more lines that begin with a code; anything else is refused (RFC 5321, 4.2).

It is read as what servers write and not only as what they should, and as ``smtplib`` reads it: any
code whose first digit tells what to do (4.2.1), whatever follows it but a dash, a line that ends in
LF alone. What is kept strictly is what protects: how long a line and a reply may be, and that all
lines of a reply say the same.

In: bytes as they come. Out: whole `Reply` values, or `MalformedReplyError`.
Knows nothing of: sockets, and which command a reply answers.
"""

import re
from dataclasses import dataclass

MAX_LINE = 8192
"""Octets in one line, as ``smtplib`` has it. The RFC says 512 (4.5.3.1.5); servers write more."""

KEPT = 100
"""Octets kept of what is no reply, to be told."""

MAX_LINES = 128
"""Lines in one reply; the longest EHLO replies seen have about 30."""

LINE = re.compile(rb"(?P<code>[2-5][0-9]{2})(?P<mark>[-:.;,_]?)[ \t]?(?P<text>.*)", re.DOTALL)
ENHANCED = re.compile(
    r"\s*\(?#?([245])\.(\d{1,3})\.(\d{1,3})(?!\.?\d)"
    r"|.*\(#?([245])\.(\d{1,3})\.(\d{1,3})\)\W*$",
    re.DOTALL,
)
"""At the reply's begin (RFC 2034), or in brackets at its end, as qmail writes ``(#5.7.1)``.

Cisco's gateways write ``#5.1.0``.
"""


class MalformedReplyError(Exception):
    """The bytes are no reply. The parser that raised it is of no further use."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its code, and its lines without code and line end."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def message(self) -> bytes:
        """The lines as ``smtplib`` joins them."""
        return b"\n".join(self.lines)

    @property
    def text(self) -> str:
        """The lines as text, joined by line feeds. A stranger wrote it: mask before logging."""
        return self.message.decode("utf-8", "replace")

    @property
    def enhanced(self) -> tuple[int, int, int] | None:
        """The enhanced status code (RFC 3463), if there is one of the reply's own class."""
        return enhanced(self.code, self.text)

    @property
    def positive(self) -> bool:
        """Whether the server did as it was told (2xx)."""
        return self.code // 100 == 2  # noqa: PLR2004 - RFC 5321, 4.2.1

    @property
    def asks_on(self) -> bool:
        """Whether the server waits for what is still to come (3xx)."""
        return self.code // 100 == 3  # noqa: PLR2004 - RFC 5321, 4.2.1

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


def enhanced(code: int, text: str) -> tuple[int, int, int] | None:
    """Read the enhanced status code; one of another class than the code's makes no sense."""
    match = ENHANCED.match(text)
    if match is None:
        return None
    kind, subject, detail = (int(number) for number in match.groups() if number is not None)
    return (kind, subject, detail) if kind == code // 100 else None


class ReplyParser:
    """Bytes in, replies out. Holds no more than one unfinished reply and what was fed after it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._code = 0
        self._spoilt = False
        self._no_reply = b""

    @property
    def unread(self) -> bytes:
        """What came last and is no whole reply, or none at all; its beginning."""
        return self._no_reply or bytes(self._buffer[:KEPT])

    @property
    def empty(self) -> bool:
        """Whether every byte so far has been given out as part of a reply."""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> None:
        """Take the bytes that came."""
        self._buffer += data

    def next(self) -> Reply | None:
        """Give the next whole reply, ``None`` if more bytes are needed.

        Raises `MalformedReplyError`, from then on at each call.
        """
        if self._spoilt:
            raise MalformedReplyError("an earlier reply was malformed")
        begins = bytes(self._buffer[:KEPT])
        try:
            return self._next()
        except MalformedReplyError:
            self._spoilt, self._no_reply = True, begins
            self._buffer.clear()
            raise

    def _next(self) -> Reply | None:
        while (line := self._take_line()) is not None:
            if self._add(line):
                reply = Reply(self._code, tuple(self._lines))
                self._lines.clear()
                return reply
        return None

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", 0, MAX_LINE)
        if end < 0:
            if len(self._buffer) >= MAX_LINE:
                raise MalformedReplyError("a reply's line is too long")
            return None
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _add(self, line: bytes) -> bool:
        """Add a line and tell whether it was the last one."""
        match = LINE.fullmatch(line)
        if match is None:
            raise MalformedReplyError("a reply's line does not begin with a code")
        code = int(match["code"])
        if self._lines and code // 100 != self._code // 100:  # else the last one counts
            raise MalformedReplyError("a reply's lines differ in their code")
        if len(self._lines) >= MAX_LINES:
            raise MalformedReplyError("a reply has too many lines")
        self._code = code
        self._lines.append(match["text"])
        return match["mark"] != b"-"
