"""A mail server that keeps SMTP's rules, but for what a test's rule says.

A rule is asked of each command and of each body, with the session as it is before it; it gives the
reply, or None for the one that a good server gives. It may raise `HangUpError`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.scripted import OFFER_ALL, Talk

USUAL = dict.fromkeys(["HELO", "MAIL", "RCPT", "RSET", "NOOP"], b"250 2.0.0 ok") | {
    "DATA": b"354 go on",
    "BDAT": b"250 2.0.0 taken",
    "QUIT": b"221 2.0.0 bye",
}


class HangUpError(Exception):
    """The server closes the connection."""


@dataclass
class Turn:
    """What a rule may look at."""

    session: int
    """The number of the connection, from 0."""
    verb: str = ""
    """The command's first word, ``BODY`` for what follows DATA."""
    line: bytes = b""
    begun: int = 0
    """MAILs that were heard on this session, this one included."""
    taken: int = 0
    """Mails that were taken on this session."""
    named: int = 0
    """RCPTs that were heard in this transaction, this one included."""
    is_open: bool = False
    """Whether a transaction is: a MAIL was accepted."""
    recipients: list[bytes] = field(default_factory=list)
    """Those that were accepted in this transaction."""


type Rule = Callable[[Turn], bytes | None]


class Ruled:
    """A script for `tests.scripted`. ``mails`` holds what it took: recipients, body."""

    def __init__(self, rule: Rule = lambda _: None, offer: bytes = OFFER_ALL) -> None:
        self.rule = rule
        self.offer = offer
        self.mails: list[tuple[list[bytes], bytes]] = []
        self.turns: list[tuple[int, str]] = []
        """Each command's session and verb."""
        self._lock = threading.Lock()

    @property
    def recipients(self) -> list[bytes]:
        """Whom it took a mail for, as often as it did."""
        return [recipient for recipients, _ in self.mails for recipient in recipients]

    def verbs(self, session: int = 0) -> list[str]:
        return [verb for number, verb in self.turns if number == session]

    @property
    def sessions(self) -> int:
        """On how many a mail was begun."""
        return len({number for number, verb in self.turns if verb == "MAIL"})

    def __call__(self, talk: Talk) -> None:
        turn = Turn(talk.number)
        talk.say(b"220 ruled\r\n")
        try:
            while self._answer(talk, turn):
                pass
        except HangUpError:
            return

    def _answer(self, talk: Talk, turn: Turn) -> bool:
        turn.line = talk.hear()
        turn.verb = turn.line.split(b" ")[0].split(b":")[0].upper().decode("ascii", "replace")
        chunk = talk.hear_bytes(int(turn.line.split()[1])) if turn.verb == "BDAT" else b""
        turn.begun += turn.verb == "MAIL"
        turn.named += turn.verb == "RCPT"
        reply = self._say(talk, turn, self._usual(turn))
        if turn.verb == "DATA" and reply.startswith(b"3"):
            chunk, turn.verb = talk.hear_body(), "BODY"
            reply = self._say(talk, turn, b"250 2.0.0 taken")
        if turn.verb in {"BDAT", "BODY"}:
            self._end(turn, chunk, is_taken=reply.startswith(b"2"))
        elif turn.verb == "RCPT" and reply.startswith(b"2"):
            turn.recipients.append(turn.line.partition(b"<")[2].partition(b">")[0])
        elif turn.verb == "MAIL":
            turn.is_open = reply.startswith(b"2")
        elif turn.verb == "RSET" and reply.startswith(b"2"):
            self._close(turn)
        return turn.verb != "QUIT" and not reply.startswith(b"421")

    def _say(self, talk: Talk, turn: Turn, usual: bytes) -> bytes:
        with self._lock:
            self.turns.append((turn.session, turn.verb))
        reply = self.rule(turn) or usual
        talk.say(reply if reply.endswith(b"\n") else reply + b"\r\n")
        return reply

    def _end(self, turn: Turn, body: bytes, *, is_taken: bool) -> None:
        if is_taken:
            turn.taken += 1
            with self._lock:
                self.mails.append((turn.recipients, body))
        self._close(turn)

    @staticmethod
    def _close(turn: Turn) -> None:
        turn.is_open, turn.recipients, turn.named = False, [], 0

    def _usual(self, turn: Turn) -> bytes:
        needs = {"RCPT": turn.is_open, "DATA": turn.recipients, "BDAT": turn.recipients}
        if turn.verb in needs and not needs[turn.verb]:
            return b"554 5.5.1 no valid recipients" if turn.is_open else b"503 5.5.1 no MAIL"
        if turn.verb == "MAIL" and turn.is_open:
            return b"503 5.5.1 nested MAIL"
        return self.offer if turn.verb == "EHLO" else USUAL.get(turn.verb, b"500 5.5.2 what?")
