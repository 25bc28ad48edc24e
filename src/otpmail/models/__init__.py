"""No row but a legal one: each law of the tables is a constraint of the database.

``challenge`` has the challenges, ``delivery`` the outbox with its stored messages and attempts,
``limits`` the counters and the suppressed addresses, ``audit`` what was done. A code is in none of
them.

In: nothing. Out: rows, for the packages that write them; each file says which.
Knows nothing of: why a row is written.
"""

from otpmail.models.audit import AuditEntry, AuditSeal
from otpmail.models.challenge import Challenge, ChallengeState
from otpmail.models.delivery import (
    SETTLED,
    Attempt,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Queue,
    Reason,
    StoredMessage,
)
from otpmail.models.limits import Counter, Suppression

__all__ = [
    "SETTLED",
    "Attempt",
    "AuditEntry",
    "AuditSeal",
    "Challenge",
    "ChallengeState",
    "Counter",
    "Delivery",
    "DeliveryEvent",
    "DeliveryState",
    "Queue",
    "Reason",
    "StoredMessage",
    "Suppression",
]
