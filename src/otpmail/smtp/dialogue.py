"""One mail's transaction: flights to write, each of them sent the replies that it awaits.

In: a mail as it will be written, and the `Mode`. Out: `Flight` by `Flight`; then its `MailReplies`.
Knows nothing of: sessions and sockets, other mails in flight, what the replies come to.

The order of the steps is always RSET if need be, MAIL, each RCPT, DATA and the body, or BDAT with
the body in place of these two. The modes differ only in where that is cut into flights.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from otpmail.smtp import commands
from otpmail.smtp.content import for_data
from otpmail.smtp.errors import Phase, SilentPathError, WireError, Written
from otpmail.smtp.mail_replies import MailReplies
from otpmail.smtp.mails import PreparedMail, StillValid
from otpmail.smtp.modes import Mode
from otpmail.smtp.replies import Reply

MAX_AWAITED = 128
"""Replies awaited at once.

A server that blocks on writing its replies stops reading, and while we write we do not read: so
all replies to a flight must find room in the kernels' buffers (RFC 2920, 3.1). 128 of 512 octets
are 64 KiB, as much as Linux gives a fresh socket.
"""


@dataclass(frozen=True, slots=True)
class Flight:
    """What is written at once. The last ``body`` octets of ``data`` are the mail's body."""

    data: bytes = field(repr=False)
    awaits: tuple[Phase, ...]
    body: int = 0

    @property
    def phase(self) -> Phase:
        """What an error while it is written belongs to."""
        return Phase.BODY if Phase.BODY in self.awaits else self.awaits[0]

    def written(self, start: int, count: int, error: WireError) -> Written:
        """Tell how much of the mail was written, of the first ``count`` octets of the connection.

        The flight began after ``start`` of them. Nothing was before the flight that ends the mail;
        and nothing whose body cannot have arrived: where the path was silent, TCP tells.
        """
        envelope_end, end = start + len(self.data) - self.body, start + len(self.data)
        if Phase.BODY not in self.awaits or count <= start:
            return Written.NOTHING
        if isinstance(error, SilentPathError) and error.arrived <= envelope_end:
            return Written.NOTHING
        return Written.WHOLE if count >= end else Written.PART


type Dialogue = Generator[Flight, Sequence[Reply], MailReplies]
"""Yields a flight and is sent all replies to it, in their order."""

CLEARING = Flight(commands.RSET, (Phase.RSET,))


def dialogue(
    prepared: PreparedMail, mode: Mode, still_valid: StillValid, *, must_reset: bool
) -> Dialogue:
    """Say one mail. ``must_reset`` if the one before it has to be cleared away (RFC 3030, 2).

    ``still_valid`` is asked right before the envelope, and once more before a body that is a step
    of its own; if it says no, nothing more is written and the replies are ``called_off``.
    """
    replies = MailReplies(prepared)
    if must_reset and mode is not Mode.WINDOWED:
        replies.take(CLEARING.awaits, (yield CLEARING))
        if replies.reset_refusal is not None:
            return replies
    if not still_valid(prepared.mail):
        replies.called_off = True
        return replies
    for flight in _envelope(prepared, mode):
        if replies.is_refused:
            return replies
        replies.take(flight.awaits, (yield flight))
    if replies.data is None or not replies.data.asks_on:
        return replies
    if replies.welcome and not still_valid(prepared.mail):
        replies.called_off = True
        return replies
    # A server may ask for a body though it refused all recipients: end it at once (RFC 2920, 3.1).
    body = for_data(prepared.content) if replies.welcome else b".\r\n"
    replies.take((Phase.BODY,), (yield Flight(body, (Phase.BODY,), len(body))))
    return replies


def _envelope(prepared: PreparedMail, mode: Mode) -> Iterator[Flight]:
    """Cut the envelope into flights, up to DATA; in chunks the body is in its only one."""
    content = prepared.content
    lines = [prepared.begin, *prepared.recipients]
    awaits = (Phase.MAIL, *[Phase.RCPT] * len(prepared.recipients))
    if mode >= Mode.CHUNKED and len(lines) < MAX_AWAITED:
        lines += [commands.bdat_last(len(content)), content]
        awaits = (*awaits, Phase.BODY)
        if mode is Mode.WINDOWED:  # a refused mail's remains must not stand in the way of the next
            lines, awaits = [commands.RSET, *lines], (Phase.RSET, *awaits)
        yield Flight(b"".join(lines), awaits, len(content))
        return
    lines, awaits = [*lines, commands.DATA], (*awaits, Phase.DATA)
    most = 1 if mode is Mode.STEPWISE else MAX_AWAITED
    for start in range(0, len(lines), most):
        yield Flight(b"".join(lines[start : start + most]), awaits[start : start + most])
