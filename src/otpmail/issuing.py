"""A promise of a code: `issue` makes a challenge, or continues the one that is open.

In: a purpose, a subject (whose), an address, the facts it is bound to, who asks. Out: results.
Knows nothing of: what is typed back, when a mail is sent.

Whoever asks twice for the same has one challenge, in both tabs; whoever asks for too much at once
loses the oldest. Nobody is refused for having asked.
"""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from django.utils.translation import get_language

from otpmail import (
    addresses,
    arguments,
    audit,
    budgets,
    codes,
    database,
    endings,
    linking,
    quotas,
    resending,
    routes,
    standing,
    zones,
)
from otpmail.binding import Facts
from otpmail.clients import NOBODY, Client
from otpmail.deeds import Deed
from otpmail.exceptions import InvalidRecipientError, NotHereError
from otpmail.models import Challenge, Delivery, State
from otpmail.purposes import Purpose
from otpmail.results import AlreadyUsed, Cap, Ended, InvalidAddress, Issued, OverCap, Resent


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
) -> Issued | OverCap | InvalidAddress:
    """Promise a code to an address, or one more mail of the code that was promised before.

    ``subject`` is whose it is: only they can type it back. ``facts`` are what the code stands for
    (see ``otpmail.binding``): templates show them as they stand when a mail is made. ``context`` is
    what they show besides, each value made one line of plain text; it is frozen here, as recipient
    and owner are. ``client`` is who asks. ``long``: much is at stake. ``decoy``: the address is not
    known to you, and that is nobody's business: nothing is mailed, no code is right, and all else
    is the same. An address that is suppressed gets the same answer, and its delivery has failed.

    While the same is open (purpose, subject, address, facts), it is continued: the same challenge
    and, as `resend` rules, the same code, and one more mail if the cool-down is over. If as many of
    a purpose are open as may be, the oldest ends as superseded.

    Joins the caller's transaction: what is rolled back was never promised, and counts for nothing.
    Raises TypeError or ValueError for an argument that no row can hold, `NotHereError` while the
    key service is away, and `ImproperlyConfigured` for facts that nothing can read again or for a
    decoy outside a purpose that is ``BEFORE_SIGN_IN``.
    """
    arguments.check(purpose=purpose, subject=subject, client=client)
    rules = Purpose(purpose)
    if facts is not None:
        rules.check_facts()
    if arguments.flag("decoy", decoy):
        rules.check_decoys()
    try:
        recipient = _canonical(recipient, rules)
    except InvalidRecipientError as error:
        return InvalidAddress(reason=str(error))
    asked = Challenge(
        purpose=purpose,
        subject=subject,
        recipient=recipient,
        language=get_language() or "",
        context=arguments.context(context or {}),
        is_decoy=decoy,
        digits=rules.digits(long=arguments.flag("long", long)),
    )
    linking.link(asked, facts)
    # No savepoint: a promise that fails half-way takes the caller's transaction with it.
    with database.atomic(savepoint=False):
        budgets.hold(subject, database.now())  # two presses at once: the second sees the first's
        now = database.now()
        others = standing.open_of(subject, purpose=purpose, now=now)
        same = next((one for one in others if _is_same(one, asked, facts)), None)
        continued = _continue(same, client, now) if same else None
        return continued or _begin(asked, others, client, now)


def _canonical(recipient: str, rules: Purpose) -> str:
    address = addresses.canonical(recipient)
    if addresses.needs_utf8(address) and not any(map(routes.may_take_utf8, rules.routes)):
        raise InvalidRecipientError(f"a code goes to one e-mail address: {addresses.NO_LETTERS}")
    return address


def _is_same(one: Challenge, asked: Challenge, facts: Facts | None) -> bool:
    """Tell whether the same is asked for; a longer code, or a decoy, is another."""
    alike = ("recipient", "digits", "is_decoy")
    if any(getattr(one, name) != getattr(asked, name) for name in alike):
        return False
    try:
        return linking.holds(one, facts)
    except NotHereError:  # of its key; the one for new challenges is here
        return False


def _continue(challenge: Challenge, client: Client, now: datetime) -> Issued | OverCap | None:
    """Send one more mail if it may be. None if there is nothing to continue any more."""
    result = resending.again(challenge, client, now)
    told = standing.newest_mail(challenge.purpose, challenge.pk, challenge.subject)
    if isinstance(result, AlreadyUsed | Ended) or told is None:
        return None
    challenge, delivery = told
    if isinstance(result, OverCap) and not standing.can_be_typed(challenge, now):
        return result
    mailed = isinstance(result, Resent)
    issued = _issued(challenge, delivery, now, continued=True, mailed=mailed)
    retry_at = result.resend_at if isinstance(result, Resent) else result.retry_at
    return replace(issued, resend_at=retry_at or challenge.closes_at)


def _begin(
    challenge: Challenge, others: list[Challenge], client: Client, now: datetime
) -> Issued | OverCap:
    """Make a new challenge; the oldest of its purpose end if there are too many."""
    rules = Purpose(challenge.purpose)
    retry_at = budgets.blocked_until(challenge.subject, now)
    if retry_at is not None:
        return OverCap(retry_at=retry_at, cap=Cap.FAILURES)
    over = others[: max(0, len(others) + 1 - rules.open_challenges)]
    with database.atomic(savepoint=bool(over)):
        for oldest in over:
            endings.end(oldest, State.SUPERSEDED, now=now, client=client)
        refused = quotas.take_mail(challenge.recipient, client, now)
        if refused is not None:
            if over:  # they stay open
                database.roll_back()
            return refused
        _start(challenge, rules, now)
        challenge.save(force_insert=True)
        audit.write(Deed.ISSUED, challenge, now=now, client=client)
        delivery = resending.promise(challenge, now)
    return _issued(challenge, delivery, now)


def _start(challenge: Challenge, rules: Purpose, now: datetime) -> None:
    challenge.nonce = secrets.token_bytes(codes.NONCE_BYTES)
    challenge.time_zone = zones.current(now)
    challenge.created_at = now
    challenge.expires_at = now + rules.life
    challenge.closes_at = now + max(rules.life, rules.total_life)
    challenge.resend_at = now + rules.cool_down(1)


def _issued(challenge: Challenge, delivery: Delivery, now: datetime, **own: bool) -> Issued:
    rules = Purpose(challenge.purpose)
    if rules.is_before_sign_in:  # what became of a mail would tell whether the address is known
        delivery = Delivery(created_at=delivery.created_at)
    return standing.shown(
        Issued,
        challenge,
        delivery,
        now=now,
        challenge_id=challenge.pk,
        sends_left=max(0, rules.sends - challenge.sends),
        **own,
    )
