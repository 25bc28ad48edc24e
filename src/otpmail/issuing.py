"""A promise of a code: `issue`, one more mail (`resend`), the same by another route (`send_again`).

In: a purpose, a subject (whose), an address, the facts it is bound to, who asks. Out: results.
Knows nothing of: what is typed back, when a mail is sent.

Nothing here waits for mail: a promise is two rows in the caller's transaction, and a hint to the
engine once they are committed.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.utils.translation import get_language

from otpmail import (
    addresses,
    audit,
    codes,
    database,
    endings,
    faults,
    keys,
    limits,
    linking,
    outbox,
    promises,
    quotas,
    routes,
    standing,
    suppressions,
)
from otpmail.binding import Facts
from otpmail.clients import NOBODY, Client
from otpmail.deeds import Deed
from otpmail.exceptions import InvalidRecipientError
from otpmail.models import Challenge, Delivery, Lane, Reason, State
from otpmail.purposes import Purpose
from otpmail.results import AlreadyUsed, Ended, Issued, NotFound, OverCap, Resent, TooSoon
from otpmail.signals import delivery_refused


def issue(
    purpose: str,
    *,
    subject: str,
    recipient: str,
    facts: Facts | None = None,
    context: Mapping[str, str] | None = None,
    client: Client = NOBODY,
    long: bool = False,
    decoy: bool = False,
) -> Issued | OverCap:
    """Promise a code to an address.

    ``subject`` is whose it is: only they can type it back. ``facts`` are what the code stands for
    (see ``otpmail.binding``): templates show them as they stand when a mail is made. ``context`` is
    what they show besides; it is frozen here, as recipient and owner are. ``client`` is
    who asks. ``long``: much is at stake. ``decoy``: the address is not known to you, and that is
    nobody's business: nothing is mailed, no code is right, and all else is the same. An address
    that is suppressed gets the same answer, and its delivery has failed.

    Joins the caller's transaction: what is rolled back was never promised, and counts for nothing.
    Raises `InvalidRecipientError`, `NotHereError` while the key service is away, and
    `ImproperlyConfigured` for facts that nothing can read again or for a decoy outside a purpose
    that is ``BEFORE_SIGN_IN``.
    """
    rules, now = Purpose(purpose), database.now()
    recipient = _canonical(recipient, rules)
    if facts is not None:
        rules.check_facts()
    if decoy:
        rules.check_decoys()
    challenge = Challenge(
        purpose=purpose,
        subject=subject,
        recipient=recipient,
        language=get_language() or "",
        context=dict(context or {}),
        nonce=secrets.token_bytes(codes.NONCE_BYTES),
        is_decoy=decoy,
        digits=rules.digits(long=long),
        created_at=now,
        expires_at=now + rules.life,
        closes_at=now + max(rules.life, rules.total_life),
        resend_at=now + rules.cool_down(1),
    )
    linking.link(challenge, facts)
    # No savepoint: a promise that fails half-way takes the caller's transaction with it.
    with database.atomic(savepoint=False):
        refused = quotas.take_issue(subject, recipient, client, now)
        if refused is not None:
            return refused
        challenge.save(force_insert=True)
        audit.write(Deed.ISSUED, challenge, now=now, client=client)
        delivery = _promise_or_refuse(challenge, now)
    return standing.shown(
        Issued, challenge, delivery, now=now, challenge_id=challenge.id, sends_left=rules.sends - 1
    )


def resend(
    purpose: str, challenge_id: UUID, *, subject: str, client: Client = NOBODY
) -> Resent | TooSoon | OverCap | AlreadyUsed | Ended | NotFound:
    """Promise one more mail: the same code while it has life enough, else the next generation.

    Neither lengthens a code's life nor gives guesses back. Of two calls at once, one is taken.
    Raises `NotHereError`, and nothing is promised, if the challenge's key is not known here.
    """
    rules, now = Purpose(purpose), database.now()
    challenge = standing.find(purpose, challenge_id, subject)
    if challenge is None:
        return NotFound()
    if challenge.state != State.PENDING or now >= challenge.closes_at:
        return standing.over(challenge, now)
    if keys.find(challenge.key_id) is None:  # revoked
        endings.end(challenge, State.CANCELLED, now=now, client=client)
        return Ended(state=State.CANCELLED)
    if now < challenge.resend_at:
        return TooSoon(retry_at=challenge.resend_at)
    keeps = _keeps_code(challenge, rules, now)
    if keeps and challenge.sends >= rules.sends:
        # The older code may be on its way: it is not killed before it has to be.
        soon = challenge.expires_at - rules.keep_code
        return OverCap(retry_at=soon if standing.can_reissue(challenge, rules, soon) else None)
    if not keeps and not standing.can_reissue(challenge, rules, now):
        return OverCap(retry_at=None)
    return _resend(challenge, rules, now, client, keeps=keeps)


def send_again(delivery: Delivery, challenge: Challenge, *, avoid: str, now: datetime) -> bool:
    """Promise one more mail of a challenge's delivery, by another route; once a generation.

    Returns False if there is no other route, or the code is dead, or it was done before. Joins the
    caller's transaction, which has locked the challenge.
    """
    live = challenge.state == State.PENDING and challenge.generation == delivery.generation
    others = set(Purpose(challenge.purpose).routes) - {avoid}
    if not live or now >= delivery.deadline or not others:
        return False
    rows = Delivery.objects.filter(challenge=challenge)
    if rows.filter(generation=delivery.generation).exclude(avoid="").exists():
        return False
    _promise(challenge, now, avoid=avoid)
    return True


def _canonical(recipient: str, rules: Purpose) -> str:
    address = addresses.canonical(recipient)
    if addresses.needs_utf8(address) and not any(map(routes.may_take_utf8, rules.routes)):
        raise InvalidRecipientError(f"a code goes to one e-mail address: {addresses.NO_LETTERS}")
    return address


def _promise_or_refuse(challenge: Challenge, now: datetime) -> Delivery:
    if not suppressions.is_suppressed(challenge.recipient, now=now):
        return _promise(challenge, now)
    delivery = outbox.refuse(challenge, Reason.SUPPRESSED, now=now)

    def kept() -> None:
        faults.tell(delivery_refused, sender=Delivery, delivery=delivery, challenge=challenge)

    database.on_commit(kept)
    return delivery


def _promise(challenge: Challenge, now: datetime, *, avoid: str = "") -> Delivery:
    def put(owner: str) -> list[Delivery]:
        return [outbox.put(challenge, now=now, owner=owner, avoid=avoid)]

    (delivery,) = promises.make(Lane.CODE, put)
    return delivery


def _resend(
    challenge: Challenge, rules: Purpose, now: datetime, client: Client, *, keeps: bool
) -> Resent | TooSoon | OverCap | AlreadyUsed | Ended:
    take = limits.take_resend if keeps else limits.take_reissue
    with database.atomic():
        if take(challenge, purpose=rules, now=now):
            refused = quotas.take_mail(challenge.recipient, client, now)
            if refused is not None:
                database.roll_back()
                return refused
            deed = Deed.RESENT if keeps else Deed.REISSUED
            audit.write(deed, challenge, now=now, client=client)
            _promise_or_refuse(challenge, now)
            return Resent(
                generation=challenge.generation,
                expires_at=challenge.expires_at,
                resend_at=challenge.resend_at,
                sends_left=rules.sends - challenge.sends,
            )
        challenge = standing.locked(challenge.pk)  # somebody was first: another click, or the end
    if challenge.state != State.PENDING:
        return standing.over(challenge, now)
    return TooSoon(retry_at=challenge.resend_at)


def _keeps_code(challenge: Challenge, rules: Purpose, now: datetime) -> bool:
    has_life = challenge.expires_at - now >= rules.keep_code
    has_failures = challenge.failures >= rules.keep_code_failures
    return has_life and not has_failures and not rules.rotates
