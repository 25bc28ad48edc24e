"""What happened, for whoever wants to know; and the log lines, which are written here alone.

``challenge_ended`` is sent inside the transaction that ends the challenge: a receiver that raises
rolls the end back, so what the challenge was bound to can end with it. All others are sent
after the fact, and a receiver that raises stops nothing. Where a delivery carries other
mail, ``challenge`` is None.

No line holds a code, a body or a full address. Each begins with ``Email``.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.dispatch import Signal, receiver

from otpmail.db import compat
from otpmail.outcomes.describing import log_fault
from otpmail.runtime import logmails

if TYPE_CHECKING:
    from otpmail.models import Attempt, Challenge, Delivery
    from otpmail.outcomes import Outcome

log = logging.getLogger("otpmail")


class Event(Signal):
    """A signal whose receivers' errors are logged without their words, which may quote a row."""

    def _log_robust_failure(self, receiver: Callable[..., object], err: Exception) -> None:
        # A receiver may be any callable: an object or a ``partial`` has its type's name.
        name = getattr(receiver, "__qualname__", None) or type(receiver).__qualname__
        log_fault(log, f"Email: a receiver of a signal failed: {name}", err)


challenge_ended = Event()
"""``challenge``, ``using``: it was pending and is now what its ``state`` says; its database."""

guess_failed = Event()
"""``challenge``, ``guesses_left``: a wrong code was typed."""

link_cancelled = Event()
"""``challenge``: the reader of its mail said that it was not theirs, and it was cancelled."""

delivery_enqueued = Event()
"""``delivery``, ``challenge``: its row is committed."""

delivery_accepted = Event()
"""``delivery``, ``challenge``, ``attempt``: a mail server took the mail."""

delivery_delayed = Event()
"""``delivery``, ``challenge``, ``attempt``, ``wait_seconds``: not taken, tried again later."""

attempt_failed = Event()
"""``delivery``, ``challenge``, ``attempt``: a route did not take the mail, another was tried."""

delivery_failed = Event()
"""``delivery``, ``challenge``, ``attempt``: not taken, and not tried again."""

delivery_dropped = Event()
"""``delivery``, ``challenge``: sending had become pointless; the delivery's reason says why."""

delivery_refused = Event()
"""``delivery``, ``challenge``: not even tried; the delivery's reason says why."""

delivery_event_received = Event()
"""``delivery``, ``route``: a provider told what became of the mail: ``delivery.event``."""

circuit_opened = Event()
"""``route``, ``outcome``, ``flaps``: it is out of order; now and then one mail asks whether it
still is. ``flaps``: this was told within the last minute, too."""

circuit_stays_open = Event()
"""``route``, ``outcome``, ``asked``: nor was it taken so many times since this was last told."""

circuit_closed = Event()
"""``route``: it works again."""


@receiver(delivery_enqueued)
def _log_enqueued(delivery: "Delivery", **_: Any) -> None:
    _log(logging.DEBUG, delivery, f"Email enqueued {_who(delivery)}")


@receiver(delivery_accepted)
def _log_accepted(delivery: "Delivery", attempt: "Attempt", **_: Any) -> None:
    _log(logging.INFO, delivery, f"Email accepted {_who(delivery)} {_how(delivery, attempt)}")


@receiver(delivery_delayed)
def _log_delayed(
    delivery: "Delivery",
    attempt: "Attempt",
    wait_seconds: float,
    **_: Any,
) -> None:
    what = f"Email attempt failed, next in {wait_seconds:.1f} s"
    _log(logging.WARNING, delivery, f"{what} {_who(delivery)} {_how(delivery, attempt)}")


@receiver(attempt_failed)
def _log_next_route(delivery: "Delivery", attempt: "Attempt", **_: Any) -> None:
    what = "Email attempt failed, another route was next"
    _log(logging.WARNING, delivery, f"{what} {_who(delivery)} {_how(delivery, attempt)}")


@receiver(delivery_failed)
def _log_failed(delivery: "Delivery", attempt: "Attempt", **_: Any) -> None:
    # That a recipient was refused is no incident: somebody mistyped an address.
    level = logging.WARNING if delivery.reason == "refused" else logging.ERROR
    what = f"Email failed reason={delivery.reason.replace(' ', '-')}"
    _log(level, delivery, f"{what} {_who(delivery)} {_how(delivery, attempt)}")


@receiver(delivery_dropped)
def _log_dropped(delivery: "Delivery", **_: Any) -> None:
    # Its life ran out before a server took it: in an outage, or nobody sends here.
    level = logging.ERROR if delivery.reason == "expired" else logging.WARNING
    _log(level, delivery, f"Email dropped reason={delivery.reason} {_who(delivery)}")


@receiver(delivery_refused)
def _log_refused(delivery: "Delivery", **_: Any) -> None:
    _log(logging.WARNING, delivery, f"Email refused reason={delivery.reason} {_who(delivery)}")


@receiver(delivery_event_received)
def _log_event(delivery: "Delivery", route: str, **_: Any) -> None:
    level = logging.INFO if delivery.event == "delivered" else logging.WARNING
    waited = (delivery.event_at or delivery.created_at) - delivery.created_at
    _log(
        level,
        delivery,
        f"Email {delivery.event} delivery={delivery.pk} challenge={delivery.challenge_id} "
        f"{_where(route)} waited_ms={waited.total_seconds() * 1000:.0f} "
        f"reason={delivery.event_reason!r}",
    )


@receiver(circuit_opened)
def _log_opened(route: str, outcome: "Outcome", *, flaps: bool = False, **_: Any) -> None:
    told = (_where(route), _why(outcome))
    level = logging.WARNING if flaps else logging.ERROR  # somebody was called a moment ago
    log.log(level, "Email circuit opened %s %s", *told, extra=logmails.extra())


@receiver(circuit_stays_open)
def _log_stays_open(route: str, outcome: "Outcome", asked: int, **_: Any) -> None:
    told = (_where(route), asked, _why(outcome))
    log.warning("Email circuit stays open %s asked=%d %s", *told, extra=logmails.extra())


@receiver(circuit_closed)
def _log_closed(route: str, **_: Any) -> None:
    log.info("Email circuit closed %s", _where(route), extra=logmails.extra())


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
    log.warning("Email cancelled by the link in it %s", challenge.log_fields)


@receiver(challenge_ended)
def _log_ended(challenge: "Challenge", using: str, **_: Any) -> None:
    # What a code was bound to does not change by a person's mistake: somebody should look.
    level = logging.ERROR if challenge.state == "changed" else logging.INFO
    line = f"Email challenge {challenge.state} challenge={challenge.pk} purpose={challenge.purpose}"
    transaction.on_commit(partial(log.log, level, line), using=using, robust=True)


def _log(level: int, delivery: "Delivery", line: str) -> None:
    is_log_mail = delivery.is_log_mail
    told = logmails.level(level, is_log_mail=is_log_mail)
    log.log(told, "%s", line, extra=logmails.extra(is_log_mail=is_log_mail))


def _who(delivery: "Delivery") -> str:
    return f"delivery={delivery.pk} {delivery.log_fields}"


def _how(delivery: "Delivery", attempt: "Attempt") -> str:
    waited = (attempt.started_at - delivery.created_at).total_seconds()
    return (
        f"round={delivery.rounds} {_where(attempt.route)} outcome={attempt.outcome} "
        f"waited_ms={waited * 1000:.0f} took_ms={attempt.took_ms} reply={attempt.reply!r}"
    )


def _where(route: str) -> str:
    return f"route={route} server={compat.server_of(route)}"


def _why(outcome: "Outcome") -> str:
    return f"outcome={outcome.kind.value} code={outcome.code} reply={outcome.reply!r}"
