"""One more mail of a code: `resend`, one by another route (`resend_by_other_route`), the first.

In: a challenge, whose it is said to be, who asks. Out: results.
Knows nothing of: how a challenge comes to be, what is typed back, when a mail is sent.

Nothing here waits for mail: it is enqueued by a row in the caller's transaction, and a hint to the
engine once it is committed.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Model
from django.views.decorators.debug import sensitive_variables

from otpmail import audit, closing
from otpmail.addresses.requester import NOBODY, Client
from otpmail.challenges import lookup
from otpmail.conf import Settings, settings
from otpmail.crypto import keys
from otpmail.db import arguments, database
from otpmail.delivery import outbox
from otpmail.engines import enqueue
from otpmail.exceptions import foreign
from otpmail.limits import guesses_and_resends, rates, suppressions
from otpmail.models import Challenge, ChallengeState, Delivery, Queue, Reason
from otpmail.models.audit import AuditAction
from otpmail.results import AlreadyUsed, Ended, NotFound, OverCap, Resent, TooSoon
from otpmail.signals import delivery_refused


@sensitive_variables()
def resend(
    purpose: str, challenge_id: UUID | str, *, owner: str, client: Client = NOBODY
) -> Resent | TooSoon | OverCap | AlreadyUsed | Ended | NotFound:
    """Promise one more mail: the same code while it has life enough, else the next generation.

    Neither lengthens a code's life nor gives guesses back. Of two calls at once, one is taken.
    Raises `NotHereError`, and nothing is enqueued, if the challenge's key is not known here.
    """
    arguments.check(purpose=purpose, owner=owner, client=client)

    def act() -> Resent | TooSoon | OverCap | AlreadyUsed | Ended | NotFound:
        found = lookup.find(purpose, challenge_id, owner)
        if found is None:
            return NotFound()
        challenge, now = found
        mail_limits = rates.MailLimits(client, now)
        with database.atomic():
            result = try_resend(challenge, client, now, mail_limits)
            if refused := mail_limits.take():
                database.roll_back()
        return refused or result

    return database.retry_if_deadlocked(act)


def try_resend(
    challenge: Challenge, client: Client, now: datetime, mail_limits: rates.MailLimits
) -> Resent | TooSoon | OverCap | AlreadyUsed | Ended:
    """Do what `resend` does with a challenge that was found; its room is asked for, not taken."""
    rules = settings.of(challenge.purpose)
    if challenge.state != ChallengeState.PENDING or now >= challenge.closes_at:
        return lookup.over(challenge, now)
    if keys.find(challenge.key_id) is None:  # revoked
        closing.close(challenge, ChallengeState.CANCELLED, now=now, client=client)
        return Ended(state=ChallengeState.CANCELLED)
    if now < challenge.resend_at:
        return TooSoon(retry_at=challenge.resend_at)
    keeps = _keeps_code(challenge, rules, now)
    if keeps and challenge.sends >= rules.SENDS:
        # The older code may be on its way: it is not killed before it has to be.
        soon = challenge.expires_at - timedelta(seconds=rules.KEEP_CODE_SECONDS)
        return OverCap(retry_at=soon if lookup.can_reissue(challenge, rules, soon) else None)
    if not keeps and not lookup.can_reissue(challenge, rules, now):
        return OverCap(retry_at=None)
    if refused := mail_limits.check(challenge.recipient):
        return refused
    return _resend(challenge, rules, now, client, keeps=keeps)


def resend_by_other_route(
    delivery: Delivery, challenge: Challenge, *, avoid_route: str, now: datetime
) -> bool:
    """Promise one more mail of a challenge's delivery, by another route; once a generation.

    Returns False if there is no other route, or the code is dead, or it was done before. Joins the
    caller's transaction, which has locked the challenge.
    """
    live = challenge.state == ChallengeState.PENDING and challenge.generation == delivery.generation
    others = set(settings.of(challenge.purpose).ROUTES) - {avoid_route}
    if not live or now >= delivery.deadline or not others:
        return False
    rows = Delivery.objects.filter(challenge=challenge)
    if rows.filter(generation=delivery.generation).exclude(avoid_route="").exists():
        return False
    _enqueue_mail(challenge, now=now, avoid_route=avoid_route)
    return True


def enqueue_mail(challenge: Challenge, *rows: Model, now: datetime) -> Delivery:
    """Promise a mail of a challenge, or write down why it is not even tried.

    ``rows`` are what is added before it.
    """
    if not suppressions.is_suppressed(challenge.recipient, now=now):
        return _enqueue_mail(challenge, *rows, now=now)
    delivery = outbox.refuse(challenge, *rows, reason=Reason.SUPPRESSED, now=now)

    def kept() -> None:
        foreign.send_signal(
            delivery_refused, sender=Delivery, delivery=delivery, challenge=challenge
        )

    database.on_commit(kept)
    return delivery


def _enqueue_mail(
    challenge: Challenge, *rows: Model, now: datetime, avoid_route: str = ""
) -> Delivery:
    delivery = outbox.mail_of(challenge, now=now, avoid_route=avoid_route)
    enqueue.enqueue(Queue.CODE, *rows, delivery)
    return delivery


def _resend(
    challenge: Challenge, rules: Settings, now: datetime, client: Client, *, keeps: bool
) -> Resent | TooSoon | OverCap | AlreadyUsed | Ended:
    take = guesses_and_resends.count_resend if keeps else guesses_and_resends.count_reissue
    if take(challenge, now=now):
        action = AuditAction.RESENT if keeps else AuditAction.REISSUED
        enqueue_mail(challenge, *audit.entries(action, challenge, now=now, client=client), now=now)
        return Resent(
            generation=challenge.generation,
            expires_at=challenge.expires_at,
            resend_at=challenge.resend_at,
            sends_left=rules.SENDS - challenge.sends,
        )
    challenge, _ = lookup.locked(challenge.pk)  # somebody was first: another click, or the end
    if challenge.state != ChallengeState.PENDING:
        return lookup.over(challenge, now)
    return TooSoon(retry_at=challenge.resend_at)


def _keeps_code(challenge: Challenge, rules: Settings, now: datetime) -> bool:
    has_life = challenge.expires_at - now >= timedelta(seconds=rules.KEEP_CODE_SECONDS)
    has_failures = challenge.failures >= rules.KEEP_CODE_FAILURES
    return has_life and not has_failures and not rules.ROTATE
