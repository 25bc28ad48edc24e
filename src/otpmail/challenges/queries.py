"""How a challenge is (`status`), and which an owner has open (`open_`).

In: a purpose, a challenge's id, an owner (whose). Out: results.
Knows nothing of: what is typed back, HTTP.
"""

from uuid import UUID

from otpmail.challenges import lookup
from otpmail.conf import settings
from otpmail.db import arguments
from otpmail.models import ChallengeState
from otpmail.results import NotFound, Open, Status


def status(purpose: str, challenge_id: UUID | str, *, owner: str) -> Status | NotFound:
    """Tell how far a challenge and its newest mail have come. Cheap enough to be polled."""
    arguments.check(purpose=purpose, owner=owner)
    told = lookup.newest_mail(purpose, challenge_id, owner)
    if told is None:
        return NotFound()
    challenge, mail, now = told
    return lookup.view(Status, challenge, mail, now=now, state=ChallengeState(challenge.state))


def open_(*, owner: str, purpose: str | None = None) -> list[Open]:
    """List what an owner has open, the oldest first: whoever lost an id finds it here."""
    arguments.check_all(purpose=purpose, owner=owner)
    found = dict(lookup.open_of(owner, purpose=purpose))
    return [
        lookup.view(
            Open,
            challenge,
            delivery,
            now=found[challenge],
            challenge_id=challenge.pk,
            purpose=challenge.purpose,
            sends_left=max(0, settings.of(challenge.purpose).SENDS - challenge.sends),
        )
        for challenge, delivery in lookup.with_newest_mails([*found])
    ]
