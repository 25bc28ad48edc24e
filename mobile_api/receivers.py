"""A transfer ends with its code, in the same transaction."""

from typing import Any

from django.dispatch import receiver

from mobile_api.ledger import PURPOSE
from mobile_api.models import Transfer, TransferState
from otpmail.models import Challenge, ChallengeState
from otpmail.signals import challenge_ended


@receiver(challenge_ended)
def cancel_transfer(challenge: Challenge, **_: Any) -> None:
    """Cancel what a dead code was for. A confirmed one's transfer is posted by the ledger."""
    if challenge.purpose == PURPOSE and challenge.state != ChallengeState.CONFIRMED:
        Transfer.objects.filter(challenge_id=challenge.pk, state=TransferState.PENDING).update(
            state=TransferState.CANCELLED, reason=challenge.state, ended_at=challenge.ended_at
        )
