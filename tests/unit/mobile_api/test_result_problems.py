"""Each of otpmail's results has the status and the type that clients are promised."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mobile_api.result_problems import problem_of
from otpmail.models import ChallengeState
from otpmail.results import (
    AlreadyUsed,
    Cap,
    Ended,
    Malformed,
    NotFound,
    OverCap,
    Superseded,
    TooSoon,
    Wrong,
)

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TABLE = [
    (Malformed(digits=6), 400, "otp/malformed", {"digits": 6}),
    (Wrong(guesses_left=3), 422, "otp/incorrect", {"guesses_left": 3}),
    (
        Superseded(guesses_left=3, can_resend=True),
        410,
        "otp/superseded",
        {"guesses_left": 3, "can_resend": True},
    ),
    (AlreadyUsed(confirmed_at=THEN), 409, "otp/already-used", {"confirmed_at": THEN}),
    (Ended(state=ChallengeState.CHANGED), 409, "otp/transaction-changed", {"can_resend": False}),
    (
        Ended(state=ChallengeState.EXPIRED, can_resend=True),
        410,
        "otp/expired",
        {"can_resend": True},
    ),
    (Ended(state=ChallengeState.EXHAUSTED), 410, "otp/exhausted", {"can_resend": False}),
    (Ended(state=ChallengeState.CANCELLED), 410, "otp/cancelled", {"can_resend": False}),
    (NotFound(), 404, "otp/not-found", {}),
    (TooSoon(retry_at=THEN), 429, "otp/resend-too-soon", {}),
    (OverCap(retry_at=THEN), 429, "otp/rate-limited", {}),
    *[(OverCap(retry_at=None, cap=cap), 429, "otp/rate-limited", {}) for cap in Cap],
]


@pytest.mark.parametrize(("result", "status", "kind", "members"), TABLE, ids=str)
def test_a_result_is_its_problem(result, status, kind, members):
    problem = problem_of(result)
    assert (problem.kind.status, problem.kind.type, problem.members) == (status, kind, members)
    assert problem.response()["Content-Type"] == "application/problem+json"


def test_a_time_to_wait_is_told_in_whole_seconds_never_too_few():
    later = timezone.now() + timedelta(seconds=59.5)
    assert problem_of(TooSoon(retry_at=later)).response()["Retry-After"] == "60"
    assert problem_of(TooSoon(retry_at=THEN)).response()["Retry-After"] == "1"


def test_never_is_told_by_no_time_to_wait():
    assert "Retry-After" not in problem_of(OverCap(retry_at=None)).response()
