"""The time of an answer does not tell whether a challenge is somebody's or nobody's.

A wrong code takes longer than a challenge that is not yours, and its answer says so anyway: it is
given only to who owns the challenge.
"""

import logging

import pytest

from benchmarks import strangers
from benchmarks.timing import auc, spread, times_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

REQUESTS = 2000
MOST = 4 * spread(REQUESTS)
"""Four standard deviations: chance alone passes it once in 16,000 runs."""


def test_nobodys_and_somebody_elses_take_the_same_time(caplog):
    caplog.set_level(logging.ERROR, "django.request")
    for name, ask, unknown, others in strangers.questions(REQUESTS):
        times_of(ask, unknown[:100], others[:100])
        # Twice at most: a machine that is busy with something else can favour one of two once.
        apart = (abs(auc(*times_of(ask, unknown, others)) - 0.5) for _ in range(2))
        assert any(one <= MOST for one in apart), name


def test_what_takes_longer_would_be_found():
    """As reading somebody else's row did: a tenth more, among as much noise."""
    first = [1000 + number % 100 for number in range(REQUESTS)]
    assert auc(first, [time + 10 for time in first]) - 0.5 > MOST
    assert auc(first, first) == 0.5
