"""What is told of challenges: `status` of one, and all that a subject has open (`open_`).

In: a purpose, a challenge's id, a subject (whose). Out: results.
Knows nothing of: what is typed back, HTTP.
"""

from uuid import UUID

from otpmail.challenges import lookup
from otpmail.db import arguments, database
from otpmail.models import State
from otpmail.purposes import Purpose
from otpmail.results import NotFound, Open, Status


def status(purpose: str, challenge_id: UUID | str, *, subject: str) -> Status | NotFound:
    """Tell how far a challenge and its newest mail have come. Cheap enough to be polled."""
    arguments.check(purpose=purpose, subject=subject)
    told = lookup.newest_mail(purpose, challenge_id, subject)
    if told is None:
        return NotFound()
    challenge, mail = told
    state = State(challenge.state)
    return lookup.shown(Status, challenge, mail, now=database.now(), state=state)


def open_(*, subject: str, purpose: str | None = None) -> list[Open]:
    """List what a subject has open, the oldest first: whoever lost an id finds it here."""
    arguments.check_all(purpose=purpose, subject=subject)
    now = database.now()
    found = lookup.open_of(subject, purpose=purpose, now=now)
    return [
        lookup.shown(
            Open,
            challenge,
            delivery,
            now=now,
            challenge_id=challenge.pk,
            purpose=challenge.purpose,
            sends_left=max(0, Purpose(challenge.purpose).sends - challenge.sends),
        )
        for challenge, delivery in lookup.with_newest_mails(found)
    ]
