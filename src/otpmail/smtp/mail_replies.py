"""What one mail's commands were answered, and what that makes of the mail.

In: replies, in the order of the commands. Out: `Sent`, or a `WireError`.
Knows nothing of: when each command was written.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from otpmail.smtp import refusals
from otpmail.smtp.errors import (
    Phase,
    ProtocolError,
    RecipientsRefusedError,
    RefusedError,
    WireError,
)
from otpmail.smtp.mails import PreparedMail, Sent
from otpmail.smtp.replies import Reply


@dataclass(slots=True)
class MailReplies:
    """Filled in their order. ``called_off`` if the mail was not valid any more."""

    prepared: PreparedMail
    called_off: bool = False
    reset: Reply | None = None
    begun: Reply | None = None
    recipients: list[Reply] = field(default_factory=list)
    data: Reply | None = None
    body: Reply | None = None

    def take(self, phases: Iterable[Phase], replies: Iterable[Reply]) -> None:
        """Take the reply to each of some commands."""
        for phase, reply in zip(phases, replies, strict=True):
            match phase:
                case Phase.RSET:
                    self.reset = reply
                case Phase.MAIL:
                    self.begun = reply
                case Phase.RCPT:
                    self.recipients.append(reply)
                case Phase.DATA:
                    self.data = reply
                case Phase.BODY:
                    self.body = reply

    @property
    def is_begun(self) -> bool:
        """Whether the sender was accepted."""
        return self.begun is not None and self.begun.positive

    @property
    def welcome(self) -> bool:
        """Whether the sender and at least one recipient were accepted."""
        return self.is_begun and any(reply.positive for reply in self.recipients)

    @property
    def is_refused(self) -> bool:
        """Whether nobody takes it any more: the sender was refused, or each recipient."""
        if not self.is_begun:
            return self.begun is not None
        return len(self.recipients) == len(self.prepared.recipients) and not self.welcome

    @property
    def reset_refusal(self) -> Reply | None:
        """The reply to RSET, where that is why nothing else was taken."""
        is_refused = self.reset is not None and not self.reset.positive
        return self.reset if is_refused and not self.welcome else None

    def result(self) -> Sent:
        """Tell what became of the mail. Raises the refusal that comes first."""
        begun, body = self.begun, self.body
        if begun is not None and not begun.positive:
            raise refusal(begun, Phase.MAIL)
        replies = dict(zip(self.prepared.mail.recipients, self.recipients, strict=False))
        refused = {address: reply for address, reply in replies.items() if not reply.positive}
        if refused and not self.welcome:
            raise RecipientsRefusedError(refused)
        if self.data is not None and not self.data.asks_on:
            raise refusal(self.data, Phase.DATA)
        if body is None:
            raise ProtocolError("a reply is missing", phase=Phase.BODY)
        if not body.positive:
            raise refusal(body, Phase.BODY)
        return Sent(reply=body, refused=refused)

    @property
    def superfluous(self) -> frozenset[str]:
        """The extensions without which the mail may be taken that was refused."""
        begun, parameters = self.begun, self.prepared.parameters
        if begun is None or not parameters:
            return frozenset()
        if not begun.positive:
            is_said = refusals.is_of_parameters(begun)
            return parameters - {"SMTPUTF8"} or parameters if is_said else frozenset()
        ends = filter(None, (self.data, self.body))
        is_of_body = self.welcome and any(map(refusals.is_of_eight_bits, ends))
        return parameters & {"8BITMIME"} if is_of_body else frozenset()

    @property
    def to_flight(self) -> Reply | None:
        """The reply that shows a pipelined command, or a chunk, to be unknown."""
        if not self.is_begun:
            replies = [self.begun]
        else:
            replies = [*self.recipients, self.data if self.welcome else None]
        for reply in replies:
            if reply is not None and refusals.is_of_command(reply):
                return reply
        chunk = self.body if self.welcome and self.data is None else None
        is_shown = chunk is not None and refusals.is_of_command(chunk, is_chunk=True)
        return chunk if is_shown else None


def refusal(reply: Reply, phase: Phase) -> WireError:
    """Make the error for a reply that is not the one that was asked for."""
    if reply.code // 100 in {4, 5}:
        return RefusedError(f"{phase} was refused with {reply.code}", phase=phase, reply=reply)
    return ProtocolError(f"{phase} was answered with {reply.code}", phase=phase)
