"""How far a transfer's code has come: read only, and never the code.

In: a transfer's challenge. Out: its life, and what became of its newest mail.
Knows nothing of: HTTP.
"""

from uuid import UUID

from otpmail.models import Delivery, DeliveryState
from otpmail.models import Reason as Fate

ADVICE = {
    (DeliveryState.QUEUED, ""): "The mail is on its way.",
    (
        DeliveryState.ACCEPTED,
        "",
    ): "A mail server took the mail. Look for it, in the spam too.",
    (DeliveryState.FAILED, Fate.REFUSED): "Your address took no mail. Check it with us.",
    (DeliveryState.FAILED, Fate.GAVE_UP): "The mail could not be sent. Ask for the code again.",
    (DeliveryState.DROPPED, Fate.EXPIRED): "The code would have come too late. Ask for a new one.",
    (DeliveryState.DROPPED, Fate.SUPERSEDED): "A newer code took its place.",
}
"""What a person is told of a mail; all other ends are the transfer's own."""

ENDED = "The mail was not needed any more."


def newest_mail(challenge_id: UUID) -> Delivery | None:
    """Read a challenge's newest delivery, and the challenge with it, in one query."""
    mails = Delivery.objects.filter(challenge_id=challenge_id).select_related("challenge")
    return mails.order_by("-created_at").first()


def advice(state: str, reason: str) -> str:
    """Say what a mail's end means to the person who waits for it."""
    return ADVICE.get((DeliveryState(state), reason), ENDED)
