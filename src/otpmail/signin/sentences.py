"""What the pages say: one plain sentence for each result, and for how the mail stands.

In: a result, an address as it was typed. Out: words in the active language.
Knows nothing of: requests, templates.
"""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from otpmail import results
from otpmail.models import ChallengeState
from otpmail.results import MailStatus, Progress

type CheckResult = (
    results.Verified
    | results.Held
    | results.Malformed
    | results.Wrong
    | results.OtherChallenge
    | results.Superseded
    | results.AlreadyUsed
    | results.Ended
    | results.NotFound
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a mail or a request stands: a word's tone, a sentence, and what to do."""

    tone: str
    """One of the stylesheet's: ``wait``, ``going``, ``ok``, ``warn``, ``bad``, ``off``."""
    lead: str
    more: str = ""


def of_address(result: results.InvalidAddress | results.OverCap) -> str:
    """Say why no code was sent."""
    if isinstance(result, results.InvalidAddress):
        return _("No mail can be sent to this address. Look whether it is spelt right.")
    if result.retry_at is None:
        return _("There were too many mails. Try another way to sign in.")
    return _("There were too many mails. Ask again from %(when)s.") % {"when": at(result.retry_at)}


def of_check(result: CheckResult) -> str:
    """Say what was wrong with what was typed; empty where the page says what is over."""
    match result:
        case results.Malformed(digits=digits):
            return _("The code has %(digits)d digits. Copy all of them.") % {"digits": digits}
        case results.Wrong(guesses_left=left):
            return f"{_('That is not the code.')} {guesses(left)}"
        case results.Superseded(guesses_left=left):
            older = _("That code is of an older mail. Take the newest one's.")
            return f"{older} {guesses(left)}"
        case results.OtherChallenge(reference=reference):
            return _(
                "That code is of another request of yours, %(reference)s. "
                "Type it on the page where you asked for it."
            ) % {"reference": reference}
        case _:
            return ""


def of_resend(result: results.TooSoon | results.OverCap) -> str:
    """Say why there is not one more mail."""
    if result.retry_at is None:
        return _("No more mails can be sent for this request. Begin anew.")
    return _("You can ask for another mail from %(when)s.") % {"when": at(result.retry_at)}


def guesses(left: int) -> str:
    """Say how many are left."""
    return ngettext("%(left)d guess is left.", "%(left)d guesses are left.", left) % {"left": left}


def at(when: datetime) -> str:
    """Write a clock time with its zone: nobody knows that of who reads it."""
    return timezone.localtime(when).strftime("%H:%M:%S %Z")


def of_over(state: ChallengeState, *, can_resend: bool = False) -> Line:
    """Say why a request takes no code any more."""
    match state:
        case ChallengeState.EXHAUSTED:
            more = _("To keep the account safe this code is good no more. Ask for a new one.")
            return Line(tone="bad", lead=_("Too many wrong codes"), more=more)
        case ChallengeState.CONFIRMED:
            more = _("If you are not signed in, ask for a new one.")
            return Line(tone="off", lead=_("This code was used already"), more=more)
        case ChallengeState.CANCELLED:
            more = _("Ask for a new code if you still want to sign in.")
            return Line(tone="off", lead=_("This request was cancelled"), more=more)
        case ChallengeState.SUPERSEDED:
            more = _("Type the newer code on its own page, or begin anew.")
            return Line(tone="off", lead=_("You asked for newer codes since"), more=more)
        case _ if can_resend:
            more = _("Nothing is lost: a new one takes a moment.")
            return Line(tone="off", lead=_("This code has expired"), more=more)
        case _:
            return Line(tone="off", lead=_("This code has expired"), more=_("Begin anew."))


def of_mail(progress: Progress, address: str, *, if_known: bool) -> Line:
    """Say how the mail stands; ``if_known``: and nothing of whether there is one."""
    if progress.slow or progress.status is MailStatus.DELAYED:
        more = _("It may take some minutes. You need do nothing; the code stays good.")
        return Line(tone="warn", lead=_("Mail is slow just now"), more=more)
    if if_known:
        more = _("To %(address)s. It should be there any moment.") % {"address": address}
        return Line(tone="wait", lead=_("On its way, if the address is known here"), more=more)
    lead, tone, more = _mail(progress.status)
    return Line(tone=tone, lead=lead, more=more % {"address": address})


def _mail(status: MailStatus) -> tuple[str, str, str]:
    match status:
        case MailStatus.QUEUED:
            return _("We are sending your code"), "wait", _("To %(address)s. It takes a moment.")
        case MailStatus.ACCEPTED:
            more = _("It should be in the mailbox of %(address)s any moment.")
            return _("Taken by the mail server"), "going", more
        case MailStatus.DELIVERED:
            more = _("Look in the mailbox of %(address)s, and in its folder for unwanted mail.")
            return _("Delivered to your mailbox"), "ok", more
        case MailStatus.BOUNCED | MailStatus.FAILED:
            more = _("No mail came through to %(address)s. Look whether it is spelt right.")
            return _("This mail did not arrive"), "bad", more
        case _:
            return _("This mail was not sent"), "off", _("Ask for another one to %(address)s.")
