"""What the words of a refusal speak of, where no code says it.

They are read in one order: the sender, the account and the host that it came from, a grey list, a
full mailbox, a size, the way at large, the recipient, and last what asks to come again.

"Mailbox unavailable" is also what GMX says to a blocked address of ours, and "try again later" is
said of every limit: what speaks of us is read before what may speak of the recipient.

In: a reply's or an API's words. Out: a `Finding`, or None if they say nothing that is known.
Knows nothing of: codes, stages. Sources: those of ``status_codes``, and each group's.
"""

import re

from otpmail.outcomes.findings import CAPABILITY, LOCAL_ROUTE, MAIL, SENDER, Finding


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


ADDRESS = re.compile(r"<[^>]*>|\S*@\S*")
"""Who types an address must not choose the words that are read."""

OF_THE_SENDER = _words(
    r"""\bsender\b.{0,60}\b(?:reject|denied|refused|verif|not\ (?:allowed|valid|found|exist)
            |invalid|unknown|block|disallow|unauthori|does\ not|doesn'?t|(?:is|was)\ not)
      | (?:invalid|unknown|unverified|bad|unconfigured)\ (?:envelope\ )?(?:sender|sending\ domain)
      | verify\ (?:the\ )?(?:mail\ from|sender)
      | callback\ setup | while\ verifying
      | mail\ from\b.{0,40}\b(?:reject|not\ allowed|denied|invalid)
      | badmailfrom | send\ ?as\ ?denied | send\ as\b
      | (?:['"]from['"]|from\ (?:address|parameter|field|e-?mail)\b).{0,60}
            \b(?:verified|match|not\ (?:a\ )?(?:allowed|valid))
      | invalid\ ['"]?from['"]? | from\.email\b
      | (?:not|n't|be)\ +(?:a\ +)?verified | unverified\ (?:e-?mail|domain|identit|account)
    """
)
"""Exim, qmail, Amazon SES, SendGrid, Mailgun, Brevo, MailerSend, Mailtrap, Postmark.

Read first: "sender verify failed: no such user" is not Alice.
"""

OF_THE_ACCOUNT = _words(
    r"""\bsubmission\b | \boutbound\b | smtp\ relay\ limit | sender\ (?:is\ )?(?:throttled|thread)
      | (?:sender|customer|account|user)\b.{0,20}\b(?:sending|submission|daily|hourly)
      | exceeded\ the\ max | max\ (?:defers|emails) | unusual\ (?:sending|rate|activity)
      | \b(?:helo|ehlo)\b | client\ host\b | cannot\ find\ your | \brcpthosts\b
      | \byour\ (?:ip\b|(?:mail\ ?)?server|host|domain|network|connection|reverse|ptr\b)
      | [?&](?:ip=|i=ip\b) | connection\ denied | suspected\b | content\ denied
    """
)
"""Microsoft, Google, cPanel, Zoho, Postfix, qmail, GMX, QQ."""

GREYLISTED = _words(r"gr[ea]y-?_?list")
"""Postgrey, milter-greylist, rspamd, SQLgrey: every first mail meets it, and it passes."""

FULL = _words(
    r"""(?:mailbox|inbox|storage|disk|recipient|user)\b.{0,30}\b(?:full|size|space|storage|quota)
      | over\ ?quota | would\ exceed
    """
)
"""The recipient's mailbox."""

TOO_LONG = _words(r"(?:message|mail)\ (?:is\ )?too\ (?:long|large|big) | size\ (?:limit|exceed)")
"""Amazon SES ("552 Message is too long."), Exim."""

OF_THE_ROUTE = _words(
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
      | throttl | rate[ -]?limit | rate\ exceeded | too\ much\ mail\ from
      | too\ many\ (?:connections|messages|mails|emails|requests)
      | frequency\ limited | limit\ (?:has\ been\ )?exceeded | exceeded\b.{0,40}\b(?:rate|limit)
      | (?:sending|message|hourly|daily)\ (?:count\ )?(?:quota|limit|rate) | credits?\ exceeded
      | sending\ (?:is\ )?(?:suspended|paused) | sandbox | api[ -]?key | trial\ (?:account|plan)
    """
)
"""Exim's own refusals, Mimecast, Barracuda, GMX, mail.ru, QQ and others give no enhanced code."""

NO_SUCH_RECIPIENT = _words(
    r"""(?:no\ such|unknown|invalid|unrouteable|non-?existent|unrecogni[sz]ed|inactive)\ +
            (?:\w+\ +)?(?:user|recipient|mailbox|account|address(?!\ +in\ +from))
      | (?:user|recipient|mailbox|account|addressee)\ +(?:\S+\ +)?(?:is\ +|was\ +)?
            (?:unknown|not\ (?:found|known|exist)|invalid|inactive|un(?:available|routeable))
      | (?:user|recipient|mailbox|account|address)\b.{0,60}\b
            (?:does\ not\ exist|doesn'?t\ (?:exist|have))
      | marked\ as\ in(?:valid|active) | mailbox\ (?:is\ )?disabled | suppress(?:ed|ion)
    """
)
"""The recipient."""

COME_AGAIN = _words(r"try\ (?:it\ )?(?:again|later) | come\ back | (?:please\ )?retry")
"""A grey list that does not call itself one."""

LATER = _words(r"throttl | rate[ -]?limit | rate\ exceeded | too\ many\ requests")
"""What passes by itself, though it be told with a status that says it does not."""

_OURS = ((OF_THE_SENDER, SENDER), (OF_THE_ACCOUNT, LOCAL_ROUTE))
_FIRST = (*_OURS, (FULL, MAIL), (TOO_LONG, CAPABILITY))
_THEN = ((OF_THE_ROUTE, LOCAL_ROUTE), (NO_SUCH_RECIPIENT, MAIL))
_REPLY, _API = (*_FIRST, *_THEN), (*_FIRST, *reversed(_THEN))


def without_addresses(text: str) -> str:
    """Take the addresses out of words that are to be read."""
    return ADDRESS.sub(" ", text)


def of_ours(text: str) -> Finding | None:
    """Tell whether words speak of the sender, or of the account and host that it came from."""
    return _first(_OURS, text)


def read(text: str, *, transient: bool) -> Finding | None:
    """Tell what the words of a server's refusal speak of."""
    if transient and GREYLISTED.search(text) and of_ours(text) is None:
        return MAIL
    found = _first(_REPLY, text)
    return MAIL if found is None and transient and COME_AGAIN.search(text) else found


def of_api(text: str) -> Finding | None:
    """Tell what the words of an API speak of: it says more of a recipient than it does of spam."""
    return _first(_API, without_addresses(text))


def _first(readers: tuple[tuple[re.Pattern[str], Finding], ...], text: str) -> Finding | None:
    return next((found for words, found in readers if words.search(text)), None)
