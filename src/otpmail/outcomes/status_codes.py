"""What a refusal speaks of, by the server's code, its enhanced status code and its words.

1. Before a recipient is named, nothing can speak of one: it is the route, unless the mail does not
   fit it.
2. A code that only the server's own state can bring (421, 530) speaks of the route at any command.
3. Then the enhanced status code decides (RFC 3463), where it says more than "other or undefined".
4. Then the words, where a provider is known to give nothing else.
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

import re
from dataclasses import dataclass
from enum import Enum, auto

from otpmail.smtp.replies import enhanced


class Blame(Enum):
    """What a refusal speaks of: this mail, every mail on this route, or this mail on this route."""

    MAIL = "mail"
    ROUTE = "route"
    FIT = "fit"


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


@dataclass(frozen=True, slots=True)
class Finding:
    """What a refusal speaks of."""

    blame: Blame
    is_local: bool = False
    """Whether it may hold for mail to one recipient's domain alone, as one server's block list."""


MAIL, FIT, ROUTE = Finding(Blame.MAIL), Finding(Blame.FIT), Finding(Blame.ROUTE)
WAY = Finding(Blame.ROUTE, is_local=True)
"""The sender and the way: other recipients' servers may take what comes from here."""

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
    (1, 7): WAY,  # sender's mailbox: syntax
    (1, 8): WAY,  # sender's system; Microsoft: bad outbound sender
    (1, 9): WAY,  # relayed to a mailer that does not comply
    (1, 90): WAY,  # Microsoft: the sender's daily limit
    # X.2: mailbox (3.3)
    (2, 3): FIT,  # longer than the mailbox takes; Gmail says it of all of its own
    (2, 252): WAY,  # Microsoft: may not send as this sender
    # X.3: mail system (3.4)
    (3, 1): WAY,  # full
    (3, 2): WAY,  # not accepting messages
    (3, 3): FIT,  # not capable of what the mail asks
    (3, 4): FIT,  # larger than it takes
    (3, 5): WAY,  # wrongly configured
    # X.4: network and routing (3.5). All but these are between the server and the recipient's.
    (4, 3): ROUTE,  # directory; Microsoft: tenant attribution
    (4, 5): ROUTE,  # congestion; Gmail: the account's daily limit; Sendmail: disk full
    # X.5: protocol (3.6)
    (5, 3): FIT,  # too many recipients
    # X.6: content (3.7)
    (6, 1): FIT,  # media not supported
    (6, 2): FIT,  # conversion needed and prohibited
    (6, 3): FIT,  # conversion needed and not supported
    (6, 5): FIT,  # conversion failed
    (6, 7): FIT,  # no SMTPUTF8 for an address (RFC 6531; 5248's registry)
    (6, 8): FIT,
    (6, 9): FIT,  # nor for a header
    (6, 10): FIT,
    # X.7: security and policy (3.8). All but these are WAY.
    (7, 4): FIT,  # the mail's security features are not supported
    (7, 17): MAIL,  # the mailbox has another owner (RFC 7293)
    (7, 18): MAIL,  # or the domain has
    **dict.fromkeys(SENDING_DOMAIN, ROUTE),
}

SUBJECTS = {1: MAIL, 2: MAIL, 4: MAIL, 6: MAIL, 7: WAY}
"""What a subject (RFC 3463, 2) speaks of where the detail is not listed and is not 0."""

SYSTEM, PROTOCOL, POLICY = 3, 5, 7
UNDEFINED = frozenset({0, 1})
"""Details of a policy that say no more than that there is one (X.7.0, X.7.1)."""

GREYLISTED = re.compile(
    r"gr[ea]y-?_?list|try (?:it )?(?:again|later)|come back|(?:please )?retry",
    re.IGNORECASE,
)
"""Postgrey, milter-greylist, rspamd, SQLgrey: every first mail meets it, and it passes."""

NO_SUCH_RECIPIENT = re.compile(
    r"""(?:no\ such|unknown|invalid|unrouteable|non-?existent|unrecogni[sz]ed|inactive)\ +
            (?:\w+\ +)?(?:user|recipient|mailbox|account|address(?!\ +in\ +from))
      | (?:user|recipient|mailbox|account|addressee)\ +(?:\S+\ +)?(?:is\ +|was\ +)?
            (?:unknown|not\ (?:found|known|exist)|invalid|inactive|un(?:available|routeable))
      | (?:user|recipient|mailbox|account|address)\b.{0,60}\b
            (?:does\ not\ exist|doesn'?t\ (?:exist|have))
      | marked\ as\ invalid|mailbox\ (?:is\ )?(?:full|disabled)|over\ ?quota
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""The recipient. Read before `OF_THE_WAY`, and under X.7.0 and X.7.1 too."""

OF_THE_SENDER = re.compile(
    r"""\bsender\b.{0,60}\b(?:reject|denied|refused|verif|not\ allowed|invalid|unknown|block)
      | verify\ (?:the\ )?(?:mail\ from|sender)
      | mail\ from\b.{0,40}\b(?:reject|not\ allowed|denied)
      | sendas\ ?denied|send\ as\b | from\ address\b.{0,60}\b(?:verified|match|not\ allowed)
      | (?:not|n't)\ +(?:a\ +)?verified | unverified
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Exim, Amazon SES, SendGrid. Read first: "sender verify failed: no such user" is not Alice."""

OF_THE_WAY = re.compile(
    r"""\brelay(?:ing|ed)?\b
      | bl[ao]ck(?:ed|ing)?[ -]?list | deny-?list | \b(?:dns|r|u|s)bl(?:s|\d+)?\b | spamhaus
      | spamcop | \bblocked\b | \bbanned\b | barracuda\ reputation | reputation | csi\.mimecast
      | \bspam\W+\w | \b(?:as|is|like|be)\ spam\b | \bspm\b | unsolicited | spoof | phish
      | virus | malware
      | \bspf\b | \bdkim\b | \bdmarc\b | reverse\ (?:dns|hostname) | \brdns\b | \bptr\b
      | (?:not|un)[ -]?authenticated | authenticat\w+\ (?:is\ )?(?:required|failed|first)
      | (?:must|need\ to|please)\ (?:first\ )?(?:authenticate|log\ ?in|sign\ in|auth\b)
      | starttls | encryption\ (?:is\ )?(?:required|needed)
      | polic(?:y|ies)\b | administrative(?:ly)?\ prohibit | prohibited | access\ denied
      | not\ (?:authori[sz]ed|permitted) | unauthori[sz]ed
      | throttl | rate[ -]limit | too\ many\ (?:connections|messages|mails|emails)
      | frequency\ limited | limit\ (?:has\ been\ )?exceeded | exceeded\b.{0,40}\b(?:rate|limit)
      | (?:sending|message|hourly|daily)\ (?:quota|limit|rate) | credits?\ exceeded
      | sending\ (?:is\ )?(?:suspended|paused) | sandbox
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Exim's own refusals, Mimecast, Barracuda, GMX, mail.ru, QQ and others give no enhanced code."""

TOO_LONG = re.compile(
    r"(?:message|mail) (?:is )?too (?:long|large|big)|size (?:limit|exceed)", re.IGNORECASE
)
"""Amazon SES ("552 Message is too long."), Exim."""

ADDRESS = re.compile(r"<[^>]*>|\S*@\S*")
"""Who types an address must not choose the words that are read."""


def finding(stage: Stage, code: int, text: str) -> Finding:
    """Tell what a refusal speaks of. ``text`` is without the code, one line or several."""
    status = enhanced(code, text)
    found = _found(stage, code, status, ADDRESS.sub(" ", text))
    if stage in {Stage.OPENING, Stage.SENDER}:
        return FIT if found.blame is Blame.FIT and stage is Stage.SENDER else ROUTE
    return found


def _found(stage: Stage, code: int, status: tuple[int, int, int] | None, text: str) -> Finding:
    _, subject, detail = status or (0, 0, 0)
    transient = code // 100 == 4  # noqa: PLR2004 - RFC 5321, 4.2.1
    if code in OF_THE_SERVER or (transient and subject == SYSTEM):
        return ROUTE
    if subject == POLICY and detail in UNDEFINED:
        if NO_SUCH_RECIPIENT.search(text) or (transient and GREYLISTED.search(text)):
            return MAIL
        return WAY
    if (subject, detail) in STATUSES:
        return STATUSES[subject, detail]
    if detail and subject in SUBJECTS:
        return SUBJECTS[subject]
    if code in OF_THE_DIALOGUE:
        return WAY
    if code == TOO_LARGE and stage is Stage.SENDER:
        return FIT
    return _by_words(text, transient=transient)


def _by_words(text: str, *, transient: bool) -> Finding:
    readers = (
        (OF_THE_SENDER, WAY),
        (NO_SUCH_RECIPIENT, MAIL),
        (TOO_LONG, FIT),
        (OF_THE_WAY, WAY),
    )
    if transient and GREYLISTED.search(text) and not OF_THE_WAY.search(text):
        return MAIL
    return next((found for words, found in readers if words.search(text)), MAIL)
