"""Faults of a route in a row, and whether they are enough to open its circuit.

A fault that is local may be met by mail to one recipient's domain alone: its server's block list,
or its silence, for which a relay waits. Such faults count once several domains meet them. A refusal
counts at once where the mail has another route, which loses nothing by it; a time-out never does.

In: outcomes, the domain of each, whether its mail had another route. Out: a count.
Knows nothing of: circuits, time.
"""

from dataclasses import dataclass, field

from otpmail.conf import settings
from otpmail.outcomes import Kind, Outcome

SEVERAL = 2


@dataclass(slots=True)
class FaultStreak:
    """The faults since a route last answered."""

    faults: int = 0
    _silent: int = 0
    """Local ones that do not count by themselves."""
    _domains: set[str] = field(default_factory=set)

    def add(self, outcome: Outcome, *, domain: str, has_other: bool) -> bool:
        """Count a fault. Returns whether they are enough."""
        self.faults += 1
        if outcome.is_local:
            if len(self._domains) < SEVERAL:
                self._domains.add(domain)
            self._silent += outcome.code is None or not has_other
        elif _shuts_at_once(outcome):
            return True
        several = len(self._domains) >= SEVERAL
        return self.faults - (0 if several else self._silent) >= settings.CIRCUIT_FAULTS


def _shuts_at_once(outcome: Outcome) -> bool:
    wished = (outcome.retry_after_seconds or 0) > 0
    return outcome.kind is Kind.PERMANENT or outcome.is_lasting or wished
