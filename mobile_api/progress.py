"""What a person is told of a mail, in a sentence.

In: how far otpmail says that it has come. Out: a sentence.
Knows nothing of: HTTP, rows.
"""

from otpmail.models import Reason
from otpmail.results import Progress, Step, Word

ADVICE = {
    (Word.QUEUED, ""): "The mail is on its way.",
    (Word.DELAYED, ""): "The mail was not taken at once. We keep trying.",
    (Word.ACCEPTED, ""): "A mail server took the mail. Look for it, in the spam too.",
    (Word.DELIVERED, ""): "Your mailbox took the mail. Look for it, in the spam too.",
    (Word.BOUNCED, ""): "Your mailbox refused the mail. Check your address with us.",
    (Word.FAILED, Reason.REFUSED): "Your address took no mail. Check it with us.",
    (Word.FAILED, Reason.SUPPRESSED): "Your address refused our mail before. Check it with us.",
    (Word.FAILED, Reason.GAVE_UP): "The mail could not be sent. Ask for the code again.",
    (Word.DROPPED, Reason.EXPIRED): "The code would have come too late. Ask for a new one.",
    (Word.DROPPED, Reason.RESTORED): "The mail was not sent. Please ask for the code once more.",
    (Word.DROPPED, Reason.SUPERSEDED): "A newer code took its place.",
}
"""All other ends are the transfer's own."""

ENDED = "The mail was not needed any more."
NOT_MADE = "The mail could not be made. Ask for the code again."
SLOW = "Mail is slow just now: it may take some minutes."


def advice(mail: Progress) -> str:
    """Say what a mail's progress means to the person who waits for it."""
    if mail.next_step is Step.ASK_AGAIN and mail.word in {Word.QUEUED, Word.DELAYED}:
        return NOT_MADE
    return SLOW if mail.slow else ADVICE.get((mail.word, mail.reason), ENDED)
