import ssl

import pytest

from otpmail.smtp.backoff import JITTER, LASTING, PASSING, Backoff
from otpmail.smtp.errors import (
    BrokenError,
    InsecureChannelError,
    InvalidArgumentError,
    Phase,
    ProtocolError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
    WireError,
)
from otpmail.smtp.replies import Reply


def refused(code: int, phase: Phase = Phase.AUTH) -> WireError:
    return RefusedError("no", phase=phase, reply=Reply(code, (b"no",)))


def insecure(cause: Exception) -> WireError:
    error = InsecureChannelError("TLS failed", phase=Phase.TLS)
    error.__cause__ = cause
    return error


PASS = [
    BrokenError("refused", phase=Phase.CONNECT),
    TimedOutError("silent", phase=Phase.BANNER),
    ProtocolError("what?", phase=Phase.BANNER),
    refused(421, Phase.BANNER),
    refused(454),
    insecure(ssl.SSLEOFError("cut")),
    RuntimeError("no thread"),
]
LAST = [
    refused(535),
    refused(554, Phase.BANNER),
    insecure(ssl.SSLCertVerificationError("expired")),
    UnsupportedError("no STARTTLS", phase=Phase.STARTTLS),
    InvalidArgumentError("a NUL", phase=Phase.AUTH),
]


@pytest.mark.parametrize(
    ("error", "pauses"),
    [(error, PASSING) for error in PASS] + [(error, LASTING) for error in LAST],
    ids=repr,
)
def test_pauses_double_up_to_the_most_each_with_jitter(error, pauses):
    backoff, now, first = Backoff(), 1000.0, pauses[0]
    for failure in range(50):
        backoff.failed(error, now)
        plain = min(first * 2.0**failure, pauses[1])
        assert (1 - JITTER) * plain <= backoff.retry_at - now <= (1 + JITTER) * plain
        assert not backoff.is_due(now + (1 - JITTER) * plain - 0.001)
        assert backoff.is_due(now + (1 + JITTER) * plain)
        now = backoff.retry_at


def test_pauses_of_several_processes_differ():
    backoffs = [Backoff() for _ in range(10)]
    for backoff in backoffs:
        backoff.failed(PASS[0], 0.0)
    assert len({backoff.retry_at for backoff in backoffs}) > 1


def test_another_kind_of_failure_begins_with_its_own_first_pause():
    backoff = Backoff()
    for _ in range(20):
        backoff.failed(PASS[0], 0.0)
    backoff.failed(LAST[0], 0.0)
    assert backoff.retry_at <= LASTING[0] * (1 + JITTER)
    backoff.failed(PASS[0], 0.0)
    assert backoff.retry_at <= PASSING[0] * (1 + JITTER)


def test_a_row_of_failures_is_news_at_its_begin_and_at_its_end():
    backoff = Backoff()
    assert not backoff.worked()
    news = [PASS[0], LAST[0]]
    row = PASS + LAST + PASS + LAST
    assert [error for error in row if backoff.failed(error, 0.0)] == news
    backoff.hurry()
    assert backoff.is_due(0.0)
    assert not backoff.failed(PASS[0], 0.0)
    assert backoff.worked()
    assert backoff.is_due(0.0)
    assert not backoff.worked()
    assert backoff.failed(PASS[0], 0.0)
