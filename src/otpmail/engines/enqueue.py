"""How a mail is enqueued: its row in the caller's transaction, and a hint once it is committed.

In: rows to add, deliveries of one queue among them. Out: the same, added; what is rolled back was
never enqueued. The first round with a row of this process's own gets it as it was added
(``delivery.fresh_rows``).
Knows nothing of: what is mailed.
"""

from django.db.models import Model

from otpmail import engines
from otpmail.db import database
from otpmail.delivery import fresh_rows, outbox
from otpmail.exceptions import foreign
from otpmail.models import Delivery, Queue
from otpmail.signals import delivery_enqueued


def enqueue(queue: Queue, *rows: Model) -> None:
    """Add rows, in this order, and notify the engine of the deliveries on commit.

    The caller has read the database's clock, and made the rows with the time that it was told.
    """
    engine = engines.current()
    holder = engine.holder(queue)
    deliveries = outbox.put(*rows, holder=holder or "")
    copies, clock = fresh_rows.copies(deliveries), database.clock_last_read()

    def kept() -> None:
        if clock is not None:
            fresh_rows.keep(copies, clock)
        if holder is not None:
            engine.notify([delivery.pk for delivery in deliveries], queue)
        for delivery in deliveries:
            foreign.send_signal(
                delivery_enqueued,
                sender=Delivery,
                delivery=delivery,
                challenge=delivery.challenge,
            )

    database.on_commit(kept)
