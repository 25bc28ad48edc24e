"""What happened, for whoever wants to know; and the log lines, which are written here alone.

``challenge_ended`` is sent inside the transaction that ends the challenge: a receiver that raises
rolls the end back, so what the challenge was bound to can end with it. All others are sent
after the fact, and a receiver that raises stops nothing. Where a delivery carries other
mail, ``challenge`` is None.

No line holds a code, a body or a full address. Each begins with ``Email``.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.dispatch import Signal, receiver

if TYPE_CHECKING:
    from otpmail.models import Attempt, Challenge, Delivery
    from otpmail.outcomes import Outcome

challenge_ended = Signal()
"""``challenge``, ``using``: it was pending and is now what its ``state`` says; its database."""

guess_failed = Signal()
"""``challenge``, ``guesses_left``: a wrong code was typed."""

link_cancelled = Signal()
"""``challenge``: the reader of its mail said that it was not theirs, and it was cancelled."""

delivery_promised = Signal()
"""``delivery``, ``challenge``: the promise is committed."""

delivery_accepted = Signal()
"""``delivery``, ``challenge``, ``attempt``: a mail server took the mail."""

delivery_delayed = Signal()
"""``delivery``, ``challenge``, ``attempt``, ``wait_seconds``: not taken, tried again later."""

attempt_failed = Signal()
"""``delivery``, ``challenge``, ``attempt``: a route did not take the mail, another was tried."""

delivery_failed = Signal()
"""``delivery``, ``challenge``, ``attempt``: not taken, and not tried again."""

delivery_dropped = Signal()
"""``delivery``, ``challenge``: sending had become pointless; the delivery's reason says why."""

delivery_refused = Signal()
"""``delivery``, ``challenge``: not even tried; the delivery's reason says why."""

delivery_reported = Signal()
"""``delivery``, ``route``: a provider told what became of the mail: ``delivery.reported``."""

circuit_opened = Signal()
"""``route``, ``outcome``: it is out of order; now and then one mail asks whether it still is."""

circuit_stays_open = Signal()
"""``route``, ``outcome``: that mail was not taken either."""

circuit_closed = Signal()
"""``route``: it works again."""

log = logging.getLogger("otpmail")


@receiver(delivery_promised)
def _log_promised(delivery: "Delivery", **_: Any) -> None:
    log.debug("Email promised %s", _who(delivery))


@receiver(delivery_accepted)
def _log_accepted(delivery: "Delivery", attempt: "Attempt", **_: Any) -> None:
    log.info("Email accepted %s %s", _who(delivery), _how(delivery, attempt))


@receiver(delivery_delayed)
def _log_delayed(
    delivery: "Delivery",
    attempt: "Attempt",
    wait_seconds: float,
    **_: Any,
) -> None:
    log.warning(
        "Email attempt failed, next in %.1f s %s %s",
        wait_seconds,
        _who(delivery),
        _how(delivery, attempt),
    )


@receiver(attempt_failed)
def _log_next_route(delivery: "Delivery", attempt: "Attempt", **_: Any) -> None:
    who, how = _who(delivery), _how(delivery, attempt)
    log.warning("Email attempt failed, another route was next %s %s", who, how)


@receiver(delivery_failed)
def _log_failed(delivery: "Delivery", attempt: "Attempt", **_: Any) -> None:
    log.error(
        "Email failed reason=%s %s %s",
        delivery.reason.replace(" ", "-"),
        _who(delivery),
        _how(delivery, attempt),
    )


@receiver(delivery_dropped)
def _log_dropped(delivery: "Delivery", **_: Any) -> None:
    log.warning("Email dropped reason=%s %s", delivery.reason, _who(delivery))


@receiver(delivery_refused)
def _log_refused(delivery: "Delivery", **_: Any) -> None:
    log.warning("Email refused reason=%s %s", delivery.reason, _who(delivery))


@receiver(delivery_reported)
def _log_reported(delivery: "Delivery", route: str, **_: Any) -> None:
    level = logging.INFO if delivery.reported == "delivered" else logging.WARNING
    waited = (delivery.reported_at or delivery.created_at) - delivery.created_at
    log.log(
        level,
        "Email %s delivery=%s challenge=%s route=%s waited_ms=%.0f reason=%r",
        delivery.reported,
        delivery.pk,
        delivery.challenge_id,
        route,
        waited.total_seconds() * 1000,
        delivery.reported_reason,
    )


@receiver(circuit_opened)
def _log_opened(route: str, outcome: "Outcome", **_: Any) -> None:
    log.error("Email circuit opened route=%s %s", route, _why(outcome))


@receiver(circuit_stays_open)
def _log_stays_open(route: str, outcome: "Outcome", **_: Any) -> None:
    log.warning("Email circuit stays open route=%s %s", route, _why(outcome))


@receiver(circuit_closed)
def _log_closed(route: str, **_: Any) -> None:
    log.info("Email circuit closed route=%s", route)


@receiver(guess_failed)
def _log_guess(challenge: "Challenge", guesses_left: int, **_: Any) -> None:
    log.info(
        "Email code wrong challenge=%s purpose=%s guesses_left=%d",
        challenge.pk,
        challenge.purpose,
        guesses_left,
    )


@receiver(link_cancelled)
def _log_link(challenge: "Challenge", **_: Any) -> None:
    # Somebody typed another's address, or sits in another's session.
    log.warning("Email cancelled by the link in it %s", challenge.told)


@receiver(challenge_ended)
def _log_ended(challenge: "Challenge", using: str, **_: Any) -> None:
    # What a code was bound to does not change by a person's mistake: somebody should look.
    level = logging.ERROR if challenge.state == "changed" else logging.INFO
    line = f"Email challenge {challenge.state} challenge={challenge.pk} purpose={challenge.purpose}"
    transaction.on_commit(partial(log.log, level, line), using=using, robust=True)


def _who(delivery: "Delivery") -> str:
    return f"delivery={delivery.pk} {delivery.told}"


def _how(delivery: "Delivery", attempt: "Attempt") -> str:
    waited = (attempt.started_at - delivery.created_at).total_seconds()
    return (
        f"attempt={delivery.attempted} route={attempt.route} outcome={attempt.outcome} "
        f"waited_ms={waited * 1000:.0f} took_ms={attempt.took_ms} reply={attempt.reply!r}"
    )


def _why(outcome: "Outcome") -> str:
    return f"outcome={outcome.kind.value} code={outcome.code} reply={outcome.reply!r}"
