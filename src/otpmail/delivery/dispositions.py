"""What the attempts of a round mean for its delivery: settled, or due again.

In: a delivery, its attempts, the moment. Out: a `Disposition`.
Knows nothing of: rows and leases, mails, who writes it down.
"""

from collections.abc import Sequence
from datetime import datetime

from otpmail import routes
from otpmail.delivery import payload, retries
from otpmail.delivery.settling import Disposition
from otpmail.models import Delivery, DeliveryState, Reason
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import RouteAttempt

FREE_AFTER_SECONDS = 0.5
"""After its routes were found unavailable here, until a mail may be taken by another process."""


def deciding_attempt(route_attempts: Sequence[RouteAttempt]) -> RouteAttempt:
    """Choose the attempt that decides: an acceptance, a refusal for good, or the last."""
    weights = {Kind.ACCEPTED: 2, Kind.PERMANENT: 1}

    def weight(route_attempt: RouteAttempt) -> int:
        of_the_mail = route_attempt.outcome.blame is Blame.MAIL
        return weights.get(route_attempt.outcome.kind, 0) if of_the_mail else 0

    return max(reversed(route_attempts), key=weight)


def decide(
    delivery: Delivery, route_attempts: Sequence[RouteAttempt], now: datetime
) -> Disposition:
    """Tell what becomes of a delivery after a round that tried something."""
    outcome = deciding_attempt(route_attempts).outcome
    if outcome.kind is Kind.ACCEPTED:
        return Disposition(DeliveryState.ACCEPTED)
    carried = payload.of(delivery)
    if _is_refused(route_attempts, carried.routes):
        return Disposition(DeliveryState.FAILED, reason=Reason.REFUSED)
    life_left = max(0.0, (delivery.deadline - now).total_seconds())
    if _is_of_the_routes(route_attempts):
        # A probe is charged at most one attempt.
        counts = delivery.rounds == 0
        if routes.all_unavailable(carried.routes):
            # A provider that asks to be left alone speaks to all processes.
            wished_seconds = max(
                _wished_seconds(route_attempt.outcome) for route_attempt in route_attempts
            )
            wait_seconds = min(max(FREE_AFTER_SECONDS, wished_seconds), life_left)
            return Disposition(
                DeliveryState.QUEUED, wait_seconds=wait_seconds, counts=counts, frees_lease=True
            )
        if _is_one_back(route_attempts, carried.routes):
            return Disposition(DeliveryState.QUEUED, wait_seconds=0, counts=counts)
    backoff = retries.wait_seconds(
        carried.retry_seconds,
        failed=delivery.rounds + 1,
        life_left=life_left,
        at_least=_wished_seconds(outcome),
    )
    if backoff is None:
        return Disposition(DeliveryState.FAILED, reason=Reason.GAVE_UP)
    return Disposition(DeliveryState.QUEUED, wait_seconds=backoff)


def _wished_seconds(outcome: Outcome) -> float:
    """Tell how long a provider asked to be left alone. A sign-in that rests does so here alone."""
    return 0.0 if outcome.is_lasting else outcome.retry_after_seconds or 0.0


def _is_of_the_routes(route_attempts: Sequence[RouteAttempt]) -> bool:
    """Tell whether nothing was said of the mail or its sender, and no route can have taken it.

    Whatever may have been taken, or was refused itself, has the backoff and its end: a server that
    takes a mail and is silent would be given it again and again.
    """
    faults = [route_attempt.outcome for route_attempt in route_attempts]
    return all(
        fault.blame is Blame.ROUTE and fault.kind is not Kind.UNKNOWN and not fault.is_of_sender
        for fault in faults
    )


def _is_one_back(route_attempts: Sequence[RouteAttempt], names: Sequence[str]) -> bool:
    """Tell whether a route that was unavailable to the mail is back."""
    return not routes.all_unavailable(
        set(names) - {route_attempt.route for route_attempt in route_attempts}
    )


def _is_refused(route_attempts: Sequence[RouteAttempt], names: Sequence[str]) -> bool:
    """Tell whether the mail itself was refused for good, or none of its routes is capable of it."""
    refused = [
        route_attempt
        for route_attempt in route_attempts
        if route_attempt.outcome.kind is Kind.PERMANENT
    ]
    incapable = {
        route_attempt.route
        for route_attempt in refused
        if route_attempt.outcome.blame is Blame.CAPABILITY
    }
    return incapable.issuperset(names) or any(
        route_attempt.outcome.blame is Blame.MAIL for route_attempt in refused
    )
