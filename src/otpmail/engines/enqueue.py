"""One way to promise a mail: its row in the caller's transaction, and a hint once it is committed.

In: a lane, and what puts the rows. Out: the rows; what is rolled back was never promised.
Knows nothing of: what is mailed.
"""

from collections.abc import Callable, Sequence

from otpmail import engines
from otpmail.db import database
from otpmail.exceptions import foreign
from otpmail.models import Delivery, Lane
from otpmail.signals import delivery_promised


def make(lane: Lane, put: Callable[[str], Sequence[Delivery]]) -> Sequence[Delivery]:
    """Call ``put(owner)`` now and wake the engine on commit."""
    engine = engines.current()
    owner = engine.owner(lane)
    deliveries = put(owner or "")

    def kept() -> None:
        if owner is not None:
            engine.wake([delivery.pk for delivery in deliveries], lane)
        for delivery in deliveries:
            foreign.tell(
                delivery_promised,
                sender=Delivery,
                delivery=delivery,
                challenge=delivery.challenge,
            )

    database.on_commit(kept)
    return deliveries
