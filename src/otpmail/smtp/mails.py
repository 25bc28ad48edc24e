"""A mail is fitted to what the server offers before a byte of it is written.

In: a `Mail` and a server's `Features`. Out: its command lines and body, or why it cannot be sent.
Knows nothing of: sockets and replies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from otpmail.smtp import commands
from otpmail.smtp.content import NotInSevenBitsError, in_seven_bits, with_crlf
from otpmail.smtp.errors import InvalidArgumentError, Phase, TooLargeError, UnsupportedError
from otpmail.smtp.replies import Reply
from otpmail.smtp.session import Features


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An envelope and a message. ``utf8`` if the message's headers themselves need SMTPUTF8.

    ``without``: extensions that are not used for it, though they are offered.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    utf8: bool = False
    without: frozenset[str] = frozenset()


type StillValid = Callable[[Mail], bool]
"""The last question before a mail is written: whether to."""


def always(_: Mail) -> bool:
    """Say yes: the answer where nobody has the question."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The server took the mail, for all recipients but those in ``refused``."""

    reply: Reply
    refused: Mapping[str, Reply] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedMail:
    """A mail as it will be written."""

    mail: Mail
    begin: bytes = field(repr=False)
    recipients: tuple[bytes, ...] = field(repr=False)
    content: bytes = field(repr=False)
    parameters: frozenset[str] = frozenset()
    """The extensions that its MAIL makes use of."""

    @property
    def size(self) -> int:
        """Octets, about."""
        return len(self.content) + sum(map(len, self.recipients)) + len(self.begin)


def prepare(mail: Mail, features: Features) -> PreparedMail:
    """Fit a mail to a server.

    Raises `InvalidArgumentError` for what may not be written to any server, and
    `UnsupportedError` or `TooLargeError` for what this one cannot take.
    """
    if not mail.recipients:
        raise InvalidArgumentError("a mail has no recipients", phase=Phase.RCPT)
    features = features.without(mail.without)
    utf8 = mail.utf8 and "SMTPUTF8" in features
    if mail.utf8 and not utf8:
        raise UnsupportedError("the server does not offer SMTPUTF8", phase=Phase.MAIL)
    content = _content(mail, features)
    eight_bit = not content.isascii()
    size = len(content) if "SIZE" in features else None
    used = {"SIZE": size is not None, "8BITMIME": eight_bit, "SMTPUTF8": utf8}
    return PreparedMail(
        mail=mail,
        begin=commands.mail(mail.sender, size=size, eight_bit=eight_bit, utf8=utf8),
        recipients=tuple(commands.rcpt(recipient, utf8=utf8) for recipient in mail.recipients),
        content=content,
        parameters=frozenset(keyword for keyword, is_used in used.items() if is_used),
    )


def _content(mail: Mail, features: Features) -> bytes:
    content = with_crlf(mail.content)
    if not content.isascii() and "8BITMIME" not in features:
        try:
            content = in_seven_bits(content)
        except NotInSevenBitsError as error:
            told = f"the server does not offer 8BITMIME, which this mail needs: {error}"
            raise UnsupportedError(told, phase=Phase.MAIL) from error
    if features.max_size is not None and len(content) > features.max_size:
        raise TooLargeError("the mail is larger than the server takes", phase=Phase.MAIL)
    return content
