"""Mails of rounds under way for which no session with a mail server stands yet.

Until it stands nothing was written, so another process may have the mail. Whoever is first takes
it: the round, when it looks once more before the envelope, or the sweep, which gives it to others.

In: ids at the start of a round. Out: each id once, to the round or to the sweep.
Knows nothing of: rows, routes.
"""

import time
from collections.abc import Collection
from uuid import UUID

_since: dict[UUID, float] = {}  # monotonic seconds


def begin(delivery_ids: Collection[UUID]) -> None:
    """Take note that a round with these begins."""
    _since.update(dict.fromkeys(delivery_ids, time.monotonic()))


def keep(delivery_id: UUID) -> bool:
    """Tell whether the round may still have it; it is not given to others any more then."""
    return _since.pop(delivery_id, None) is not None


def give_up(*, seconds: float) -> list[UUID]:
    """Take those away from their rounds that have waited for so long."""
    until = time.monotonic() - seconds
    return [one for one, since in list(_since.items()) if since <= until and keep(one)]


def end(delivery_ids: Collection[UUID]) -> None:
    """Take note that the round is over."""
    for delivery_id in delivery_ids:
        _since.pop(delivery_id, None)
