"""A mail with more recipients than a server takes at once goes in several transactions.

In: a mail, and what the session at hand takes. Out: its next part, in which each recipient is named
once; in the end, one end for all.
Knows nothing of: when and on which session a part is sent.

No recipient is named in two transactions that may both have been taken, and the next part waits for
the end of the one before it: where that is in doubt, nothing more is sent.
"""

import math
from dataclasses import dataclass, field, replace

from otpmail.smtp.errors import (
    CLOSING,
    MisbehavedError,
    RecipientsRefusedError,
    RefusedError,
    WireError,
)
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.refusals import is_of_number
from otpmail.smtp.replies import Reply
from otpmail.smtp.sending import Result
from otpmail.smtp.session import Features, domain_of

NOT_SENT = 451
"""What is told of a recipient whose part was lost after another part had been taken."""


@dataclass(slots=True, eq=False)
class Transmission:
    """One mail on its way. ``is_over`` when all its recipients have an end."""

    mail: Mail
    is_over: bool = False
    _end: Result = None
    _sent: Sent | None = None
    _refused: dict[str, Reply] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _most: float = math.inf
    """Recipients that a server was seen to take at once."""
    _without: frozenset[str] = frozenset()
    """Extensions that a server was seen to refuse."""

    def part(self, features: Features, domains: set[str]) -> Mail | None:
        """Give what the session can take next; ``None`` if it has named too many domains.

        ``domains``: those named on it, to which this part's are added (RFC 9422, 4.2 and 4.3).
        """
        most, most_domains = features.limit("RCPTMAX"), features.limit("RCPTDOMAINMAX")
        chosen: list[str] = []
        for recipient in self._left():
            domain = domain_of(recipient)
            is_room = domain in domains or len(domains) < most_domains
            if is_room and len(chosen) < min(most, self._most):
                domains.add(domain)
                chosen.append(recipient)
        if not chosen:
            return None
        return replace(self.mail, recipients=tuple(chosen), without=self._without)

    def _left(self) -> list[str]:
        """Name who has no end yet, once each: the case of a domain is no matter (RFC 5321, 2.4)."""
        named: dict[tuple[str, str], str] = {}
        for one in self.mail.recipients:
            named.setdefault((one.rpartition("@")[0], domain_of(one)), one)
        return [one for one in named.values() if one not in self._done]

    def record(self, part: Mail, end: Result) -> None:
        """Take the end of a part that was given."""
        match end:
            case Sent():
                self._take(part, end)
            case RecipientsRefusedError():
                self._refuse(end.recipients)
            case RefusedError() if _is_divisible(part, end):
                self._most = len(part.recipients) // 2
            case RefusedError() if self._sent is not None:
                self._refuse(dict.fromkeys(part.recipients, end.reply))
            case _:
                self.is_over, self._end = True, end
        self.is_over = self.is_over or not self._left()

    def _take(self, part: Mail, sent: Sent) -> None:
        """Those that were one too many are left for the next part (RFC 5321, 4.5.3.1.10)."""
        crowded = [one for one in part.recipients if _is_crowded(sent.refused.get(one))]
        if crowded:
            self._most = max(1, part.recipients.index(crowded[0]))
        refused = {one: reply for one, reply in sent.refused.items() if one not in crowded}
        self._sent = self._sent or sent
        self._done |= set(part.recipients) - set(crowded)
        self._refuse(refused)

    def _refuse(self, replies: dict[str, Reply]) -> None:
        self._refused |= replies
        self._done |= replies.keys()

    def note(self, part: Mail, end: WireError) -> bool:
        """Remember what kept a part back that is sent once more; tell whether in another way."""
        self._end = end
        match end:
            case MisbehavedError() if end.superfluous:
                self._without |= end.superfluous
            case RefusedError() if end.reply.code == CLOSING and _is_divisible(part, end):
                self._most = len(part.recipients) // 2
            case _:
                return False
        return True

    def give_up(self, end: Result) -> None:
        """End it with what was noted, or with this."""
        self.is_over, self._end = True, self._end or end

    @property
    def end(self) -> Result:
        """What became of it. A mail that was taken for some is never one that may be sent again."""
        if self._sent is not None:
            return replace(self._sent, refused=self._refused | self._unsent())
        if self._refused and not self._left():
            return RecipientsRefusedError(self._refused)
        return self._end

    def _unsent(self) -> dict[str, Reply]:
        lost = self._end if isinstance(self._end, WireError) else "no longer valid"
        reply = Reply(NOT_SENT, (f"no end is known: {lost}".encode(),))
        return dict.fromkeys(self._left(), reply)


def _is_divisible(part: Mail, end: RefusedError) -> bool:
    return len(part.recipients) > 1 and is_of_number(end.reply, end.phase)


def _is_crowded(reply: Reply | None) -> bool:
    return reply is not None and is_of_number(reply)
