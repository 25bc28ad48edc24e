"""What can become of an attempt, and what a refusal can speak of.

In: nothing. Out: names. Knows nothing of: replies, providers.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Whether the mail was taken, and whether trying again can help."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


class Blame(Enum):
    """What a refusal speaks of: the mail, the route, or what the route cannot do for the mail."""

    MAIL = "mail"
    ROUTE = "route"
    CAPABILITY = "capability"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a refusal speaks of."""

    blame: Blame
    is_local: bool = False
    """Whether it may hold for mail to one recipient's domain alone, as one server's block list."""
    is_of_sender: bool = False
    """Whether it may hold for mail of this sender alone."""


MAIL, CAPABILITY, ROUTE = Finding(Blame.MAIL), Finding(Blame.CAPABILITY), Finding(Blame.ROUTE)
LOCAL_ROUTE = Finding(Blame.ROUTE, is_local=True)
"""Account and host: other recipients' servers may take what comes from here."""

SENDER = Finding(Blame.ROUTE, is_local=True, is_of_sender=True)
"""The sender's address: other senders' mail may be taken, and other servers may take this one's."""
