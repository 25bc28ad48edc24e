"""What a person is told of a mail, in a sentence.

In: how far otpmail says that it has come. Out: a sentence.
Knows nothing of: HTTP, rows.
"""

from otpmail.models import Reason
from otpmail.results import MailStatus, NextStep, Progress

ADVICE = {
    (MailStatus.QUEUED, ""): "The mail is on its way.",
    (MailStatus.DELAYED, ""): "The mail was not taken at once. We keep trying.",
    (MailStatus.ACCEPTED, ""): "A mail server took the mail. Look for it, in the spam too.",
    (MailStatus.DELIVERED, ""): "Your mailbox took the mail. Look for it, in the spam too.",
    (MailStatus.BOUNCED, ""): "Your mailbox refused the mail. Check your address with us.",
    (MailStatus.FAILED, Reason.REFUSED): "Your address took no mail. Check it with us.",
    (
        MailStatus.FAILED,
        Reason.SUPPRESSED,
    ): "Your address refused our mail before. Check it with us.",
    (MailStatus.FAILED, Reason.GAVE_UP): "The mail could not be sent. Ask for the code again.",
    (MailStatus.DROPPED, Reason.EXPIRED): "The code would have come too late. Ask for a new one.",
    (
        MailStatus.DROPPED,
        Reason.RESTORED,
    ): "The mail was not sent. Please ask for the code once more.",
    (MailStatus.DROPPED, Reason.SUPERSEDED): "A newer code took its place.",
}
"""All other ends are the transfer's own."""

ENDED = "The mail was not needed any more."
NOT_MADE = "The mail could not be made. Ask for the code again."
SLOW = "Mail is slow just now: it may take some minutes."


def advice(mail: Progress) -> str:
    """Say what a mail's progress means to the person who waits for it."""
    if mail.next_step is NextStep.ASK_AGAIN and mail.status in {
        MailStatus.QUEUED,
        MailStatus.DELAYED,
    }:
        return NOT_MADE
    return SLOW if mail.slow else ADVICE.get((mail.status, mail.reason), ENDED)
