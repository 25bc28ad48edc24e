"""What the tries of a round mean for its delivery: settled, or due again.

In: a delivery, its tries, the moment. Out: a `Verdict`.
Knows nothing of: rows and leases, mails, who writes it down.
"""

from collections.abc import Sequence
from datetime import datetime

from otpmail import routes
from otpmail.delivery import payload, retries
from otpmail.delivery.settling import Verdict
from otpmail.models import Delivery, DeliveryState, Reason
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import Try

FREE_AFTER_SECONDS = 0.5
"""After its routes were found shut here, until a mail may be taken by another process."""


def telling(tries: Sequence[Try]) -> Try:
    """Choose the try that tells the round's end: an acceptance, a refusal for good, or the last."""
    weights = {Kind.ACCEPTED: 2, Kind.PERMANENT: 1}

    def weight(try_: Try) -> int:
        of_the_mail = try_.outcome.blame is Blame.MAIL
        return weights.get(try_.outcome.kind, 0) if of_the_mail else 0

    return max(reversed(tries), key=weight)


def judge(delivery: Delivery, tries: Sequence[Try], now: datetime) -> Verdict:
    """Tell what becomes of a delivery after a round that tried something."""
    outcome = telling(tries).outcome
    if outcome.kind is Kind.ACCEPTED:
        return Verdict(DeliveryState.ACCEPTED)
    carried = payload.of(delivery)
    if _is_refused(tries, carried.routes):
        return Verdict(DeliveryState.FAILED, reason=Reason.REFUSED)
    life_left = max(0.0, (delivery.deadline - now).total_seconds())
    if _is_of_the_routes(tries):
        # Those that go to see whether a route is back use up no more than their first attempt.
        counts = delivery.attempted == 0
        if routes.are_shut(carried.routes):
            # A provider that asks to be left alone speaks to all processes.
            wished_seconds = max(_wished_seconds(try_.outcome) for try_ in tries)
            wait_seconds = min(max(FREE_AFTER_SECONDS, wished_seconds), life_left)
            return Verdict(
                DeliveryState.QUEUED, wait_seconds=wait_seconds, counts=counts, is_freed=True
            )
        if _is_one_back(tries, carried.routes):
            return Verdict(DeliveryState.QUEUED, wait_seconds=0, counts=counts)
    backoff = retries.wait_seconds(
        carried.retry_seconds,
        failed=delivery.attempted + 1,
        life_left=life_left,
        at_least=_wished_seconds(outcome),
    )
    if backoff is None:
        return Verdict(DeliveryState.FAILED, reason=Reason.GAVE_UP)
    return Verdict(DeliveryState.QUEUED, wait_seconds=backoff)


def _wished_seconds(outcome: Outcome) -> float:
    """Tell how long a provider asked to be left alone. A sign-in that rests does so here alone."""
    return 0.0 if outcome.is_lasting else outcome.retry_after_seconds or 0.0


def _is_of_the_routes(tries: Sequence[Try]) -> bool:
    """Tell whether nothing was said of the mail or its sender, and no route can have taken it.

    Whatever may have been taken, or was refused itself, has the backoff and its end: a server that
    takes a mail and is silent would be given it again and again.
    """
    faults = [try_.outcome for try_ in tries]
    return all(
        fault.blame is Blame.ROUTE and fault.kind is not Kind.UNKNOWN and not fault.is_of_sender
        for fault in faults
    )


def _is_one_back(tries: Sequence[Try], names: Sequence[str]) -> bool:
    """Tell whether a route that was shut to the mail is back."""
    return not routes.are_shut(set(names) - {try_.route for try_ in tries})


def _is_refused(tries: Sequence[Try], names: Sequence[str]) -> bool:
    """Tell whether the mail itself was refused for good, or fits none of its routes."""
    refused = [try_ for try_ in tries if try_.outcome.kind is Kind.PERMANENT]
    unfit = {try_.route for try_ in refused if try_.outcome.blame is Blame.FIT}
    return unfit.issuperset(names) or any(try_.outcome.blame is Blame.MAIL for try_ in refused)
