"""What a refusal speaks of, by the server's code, its enhanced status code and its words.

1. Before a recipient is named, nothing can speak of one: it is the route, unless the mail does not
   fit it.
2. A code that only the server's own state can bring (421, 530) speaks of the route at any command.
3. Then the enhanced status code decides (RFC 3463), where it says more than "other or undefined".
4. Then the words (``wordings``), where a provider is known to give nothing else. Under X.1 to X.6
   they are read before it, too: who sends from where is told there as a fault of the address.
5. What is left speaks of the mail.

In: a stage, a code, a text. Out: a `Finding`.
Knows nothing of: sessions, exceptions, circuits.

Sources, beside the RFCs that are named at each line:
IANA, "SMTP Enhanced Status Codes"; Google, support.google.com/a/answer/3726730; Microsoft,
learn.microsoft.com, "NDRs and SMTP errors in Exchange Online"; Yahoo, senders.yahooinc.com
/smtp-error-codes; Amazon SES, docs.aws.amazon.com, "SMTP response codes" and "email sending
errors"; Mimecast, "SMTP error codes" (842605754); smtp.codes for Barracuda, Proofpoint, GMX, iCloud
and others; the sources of Postfix, Exim and Sendmail. Read in 2026.
"""

from enum import Enum, auto

from otpmail.outcomes import wordings
from otpmail.outcomes.findings import CAPABILITY, LOCAL_ROUTE, MAIL, ROUTE, SENDER, Blame, Finding
from otpmail.smtp.replies import enhanced

__all__ = ["Blame", "Finding", "Stage", "finding"]


class Stage(Enum):
    """How far a dialogue had come when it was refused."""

    OPENING = auto()
    """Connect, greeting, TLS, sign-in."""
    SENDER = auto()
    """MAIL."""
    RECIPIENT = auto()
    """RCPT."""
    CONTENT = auto()
    """DATA, BDAT, and what follows them."""


OF_THE_SERVER = frozenset(
    {
        421,  # closing, whatever the command was (RFC 5321, 3.8)
        454,  # no TLS, or no sign-in, just now (RFC 3207, 4; RFC 4954, 6); Amazon SES: throttled
        *(432, 524, 525, 530, 534, 535, 538),  # sign-in or TLS (RFC 4954, 6; RFC 5248; RFC 3207)
    }
)

OF_THE_DIALOGUE = frozenset({500, 502, 503, 521})
"""Not known, not now (RFC 5321, 4.2.2), takes no mail (RFC 7504): said of no address."""

TOO_LARGE = 552
"""In answer to MAIL: the mail is larger than this server takes (RFC 1870, 6.1)."""

SENDING_DOMAIN = frozenset({(7, detail) for detail in (*range(20, 31), 515)})
"""Every mail of this sender meets them, and it takes somebody to mend them.

DKIM, SPF, reverse DNS, DMARC (RFC 7372), null MX (RFC 7505), ARC (RFC 8617), REQUIRETLS
(RFC 8689); Gmail says 5.7.25 to 5.7.30 for what a bulk sender lacks, Microsoft 5.7.515.
"""

STATUSES: dict[tuple[int, int], Finding] = {
    # X.1: addresses (RFC 3463, 3.2). All but these are the recipient's.
    (1, 7): SENDER,  # sender's mailbox: syntax
    (1, 8): SENDER,  # sender's system; Microsoft: bad outbound sender
    (1, 9): LOCAL_ROUTE,  # relayed to a mailer that does not comply
    (1, 90): LOCAL_ROUTE,  # Microsoft: the sender's daily limit
    # X.2: mailbox (3.3)
    (2, 3): CAPABILITY,  # longer than the mailbox takes; Gmail says it of all of its own
    **dict.fromkeys(
        [(2, 251), (2, 253), (2, 254), (2, 255)], LOCAL_ROUTE
    ),  # Microsoft: sender throttled
    (2, 252): SENDER,  # Microsoft: may not send as this sender
    # X.3: mail system (3.4)
    (3, 1): LOCAL_ROUTE,  # full
    (3, 2): LOCAL_ROUTE,  # not accepting messages
    (3, 3): CAPABILITY,  # not capable of what the mail asks
    (3, 4): CAPABILITY,  # larger than it takes
    (3, 5): LOCAL_ROUTE,  # wrongly configured
    # X.4: network and routing (3.5). All but these are between the server and the recipient's.
    (4, 3): ROUTE,  # directory; Microsoft: tenant attribution
    (4, 5): ROUTE,  # congestion; Gmail: the account's daily limit; Sendmail: disk full
    # X.5: protocol (3.6)
    (5, 3): CAPABILITY,  # too many recipients
    # X.6: content (3.7)
    (6, 1): CAPABILITY,  # media not supported
    (6, 2): CAPABILITY,  # conversion needed and prohibited
    (6, 3): CAPABILITY,  # conversion needed and not supported
    (6, 5): CAPABILITY,  # conversion failed
    (6, 7): CAPABILITY,  # no SMTPUTF8 for an address (RFC 6531; 5248's registry)
    (6, 8): CAPABILITY,
    (6, 9): CAPABILITY,  # nor for a header
    (6, 10): CAPABILITY,
    # X.7: security and policy (3.8). All but these are WAY.
    (7, 4): CAPABILITY,  # the mail's security features are not supported
    (7, 17): MAIL,  # the mailbox has another owner (RFC 7293)
    (7, 18): MAIL,  # or the domain has
    **dict.fromkeys(SENDING_DOMAIN, ROUTE),
}

SUBJECTS = {1: MAIL, 2: MAIL, 4: MAIL, 6: MAIL, 7: LOCAL_ROUTE}
"""What a subject (RFC 3463, 2) speaks of where the detail is not listed and is not 0."""

SYSTEM, PROTOCOL, POLICY = 3, 5, 7
OF_THE_SESSION = OF_THE_SERVER | OF_THE_DIALOGUE
_OF_THE_SENDER_ALONE = Finding(Blame.ROUTE, is_of_sender=True)
UNDEFINED = frozenset({0, 1})
"""Details of a policy that say no more than that there is one (X.7.0, X.7.1)."""


def finding(stage: Stage, code: int, text: str) -> Finding:
    """Tell what a refusal speaks of. ``text`` is without the code, one line or several."""
    status = enhanced(code, text)
    text = wordings.without_addresses(text)
    found = _found(stage, code, status, text)
    if stage is Stage.SENDER:
        return _at_mail(code, status, found)
    return ROUTE if stage is Stage.OPENING else found


def _at_mail(code: int, status: tuple[int, int, int] | None, found: Finding) -> Finding:
    """No recipient is named yet. A policy, if it is no word on the session, may be the sender's."""
    if found.blame is Blame.CAPABILITY:
        return CAPABILITY
    is_policy = status is not None and status[1] == POLICY and code not in OF_THE_SESSION
    return _OF_THE_SENDER_ALONE if found.is_of_sender or is_policy else ROUTE


def _found(stage: Stage, code: int, status: tuple[int, int, int] | None, text: str) -> Finding:
    _, subject, detail = status or (0, 0, 0)
    transient = code // 100 == 4  # noqa: PLR2004 - RFC 5321, 4.2.1
    if code in OF_THE_SERVER or (transient and subject == SYSTEM):
        return ROUTE
    if subject == POLICY and detail in UNDEFINED:
        return wordings.read(text, transient=transient) or LOCAL_ROUTE
    if (subject, detail) in STATUSES:
        return STATUSES[subject, detail]
    if detail and subject in SUBJECTS:
        return wordings.of_ours(text) or SUBJECTS[subject]
    if code in OF_THE_DIALOGUE:
        return wordings.of_ours(text) or LOCAL_ROUTE
    if code == TOO_LARGE and stage is Stage.SENDER:
        return CAPABILITY
    return wordings.read(text, transient=transient) or MAIL
