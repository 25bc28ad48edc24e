"""Asking for a code: `issue` makes a challenge, or continues the one that is open; `issue_many`.

In: a purpose, an owner (whose), an address, the facts it is bound to, who asks. Out: results.
Knows nothing of: what is typed back, when a mail is sent.

Whoever asks twice for the same has one challenge, in both tabs; whoever asks for too much at once
loses the oldest. Nobody is refused for having asked.
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils.translation import get_language
from django.views.decorators.debug import sensitive_variables

from otpmail import addresses, audit, closing, purposes, routes
from otpmail.addresses.requester import NOBODY, Client
from otpmail.challenges import lookup, resending
from otpmail.conf import Settings, settings
from otpmail.crypto import derive, linking
from otpmail.crypto.transaction_data import Facts
from otpmail.db import arguments, database
from otpmail.db.statements import Insert
from otpmail.delivery import rendering
from otpmail.display import zones
from otpmail.exceptions import InvalidRecipientError, NotHereError
from otpmail.limits import lockout, rates
from otpmail.models import Challenge, ChallengeState, Delivery
from otpmail.models.audit import AuditAction
from otpmail.results import (
    AlreadyUsed,
    Ended,
    InvalidAddress,
    Issued,
    NoneIssued,
    OverCap,
    Resent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class To:
    """One of those who get a code: whose it is, and where it is mailed."""

    owner: str
    recipient: str


@sensitive_variables()
def issue(
    purpose: str,
    *,
    owner: str,
    recipient: str,
    facts: Facts | None = None,
    context: Mapping[str, str] | None = None,
    client: Client = NOBODY,
    long: bool = False,
    decoy: bool = False,
) -> Issued | OverCap | InvalidAddress:
    """Issue a code to an address, or enqueue one more mail of the code that was issued before.

    ``owner`` is whose it is: only they can type it back. ``facts`` are what the code stands for
    (see ``otpmail.crypto.transaction_data``): templates show them as they stand when a mail is
    made. ``context`` is what they show besides, each value made one line of plain text; it is
    frozen here, as recipient and owner are. ``client`` is who asks. ``long``: much is at stake.
    ``decoy``: the address is not known to you, and that is nobody's business: nothing is mailed, no
    code is right, and all else is the same. An address that is suppressed gets the same answer, and
    its delivery has failed.

    While the same is open (purpose, owner, address, facts, context), it is continued: the same
    challenge and, as `resend` rules, the same code, and one more mail if the cool-down is over. So
    keep out of a context what differs at each press, such as the time. If as many of a purpose are
    open as may be, the oldest ends as superseded.

    Joins the caller's transaction: what is rolled back was never issued, and counts for nothing.
    Raises TypeError or ValueError for an argument that no row can hold or no template can show
    (``rendering.RESERVED``), `NotHereError` while the
    key service is away, and `ImproperlyConfigured` for facts that nothing can read again or for a
    decoy outside a purpose that is ``BEFORE_SIGN_IN``.
    """
    issued = issue_many(
        purpose,
        [To(owner=owner, recipient=recipient)],
        facts=facts,
        context=context,
        client=client,
        long=long,
        decoy=decoy,
    )
    return issued.why if isinstance(issued, NoneIssued) else issued[0]


def issue_many(
    purpose: str,
    to: Sequence[To],
    *,
    facts: Facts | None = None,
    context: Mapping[str, str] | None = None,
    client: Client = NOBODY,
    long: bool = False,
    decoy: bool = False,
) -> list[Issued] | NoneIssued:
    """Issue a code each to several people for one transaction, as `issue` does: all, or none.

    Returns what each is told, in the order of ``to``. Two transactions that issue one by one to the
    same people in another order wait for each other crosswise, and the database ends one; two calls
    of this do not. Raises what `issue` raises, and ValueError for more addresses of one owner
    than may have a code at a time.
    """
    asked: list[Challenge] = []
    for position, one in enumerate(arguments.many("to", to, To)):
        challenge = _asked(purpose, one, facts, context, client, long=long, decoy=decoy)
        if isinstance(challenge, InvalidAddress):
            return NoneIssued(position=position, why=challenge)
        asked.append(challenge)
    _check_owners(asked, settings.of(purpose).OPEN_CHALLENGES)
    return database.retry_if_deadlocked(lambda: _issue_all(asked, facts, client))


def _asked(
    purpose: str,
    to: To,
    facts: Facts | None,
    context: Mapping[str, str] | None,
    client: Client,
    *,
    long: bool,
    decoy: bool,
) -> Challenge | InvalidAddress:
    arguments.check(purpose=purpose, owner=to.owner, client=client)
    rules = settings.of(purpose)
    if facts is not None:
        arguments.facts(facts)
        purposes.check_facts(purpose)
    lines = arguments.context({} if context is None else context)
    rendering.check_names(facts or {}, lines)
    if arguments.flag("decoy", decoy):
        purposes.check_decoys(purpose)
    try:
        recipient = _canonical(to.recipient, rules)
    except InvalidRecipientError as error:
        return InvalidAddress(reason=str(error))
    asked = Challenge(
        purpose=purpose,
        owner=to.owner,
        recipient=recipient,
        language=get_language() or "",
        context=lines,
        is_decoy=decoy,
        digits=purposes.digits(purpose, long=arguments.flag("long", long)),
    )
    linking.link(asked, facts)
    return asked


def _check_owners(asked: Sequence[Challenge], most: int) -> None:
    """Refuse more codes for one owner than may stand: the last would end the first."""
    of_each = Counter(owner for owner, _ in {(one.owner, one.recipient) for one in asked})
    if of_each.most_common(1)[0][1] > most:
        raise ValueError(f"to names one subject with more than {most} addresses (OPEN_CHALLENGES)")


def _issue_all(
    asked: Sequence[Challenge], facts: Facts | None, client: Client
) -> list[Issued] | NoneIssued:
    """Take the owners first, each one's own, and last of all what many share."""
    issued: list[Issued] = []
    with database.atomic():
        now = lockout.lock(*{one.owner for one in asked})
        mail_limits = rates.MailLimits(
            client, now
        )  # of two presses at once the second sees the first's
        for position, one in enumerate(asked):
            result = _issue_one(one, facts, client, mail_limits, now, before=issued)
            if isinstance(result, OverCap):
                database.roll_back()
                return NoneIssued(position=position, why=result)
            issued.append(result)
        if refused := mail_limits.take():
            database.roll_back()
            return NoneIssued(position=len(asked) - 1, why=refused)
    return issued


def _issue_one(
    asked: Challenge,
    facts: Facts | None,
    client: Client,
    mail_limits: rates.MailLimits,
    now: datetime,
    *,
    before: Sequence[Issued],
) -> Issued | OverCap:
    others = [one for one, _ in lookup.open_of(asked.owner, purpose=asked.purpose)]
    ours = {one.challenge_id for one in before}
    others.sort(key=lambda one: one.pk in ours)  # the last to be ended
    same = next((one for one in others if _is_same(one, asked, facts)), None)
    continued = _continue(same, client, now, mail_limits) if same else None
    return continued or _begin(asked, others, client, now, mail_limits)


def _canonical(recipient: str, rules: Settings) -> str:
    address = addresses.canonical(recipient)
    if addresses.needs_utf8(address) and not any(map(routes.may_take_utf8, rules.ROUTES)):
        raise InvalidRecipientError(f"a code goes to one e-mail address: {addresses.NO_LETTERS}")
    return address


def _is_same(one: Challenge, asked: Challenge, facts: Facts | None) -> bool:
    """Tell whether the same is asked for; a longer code, a decoy or another context is another.

    A context is what a mail shows: what the person read is what they confirm.
    """
    alike = ("recipient", "digits", "is_decoy", "context")
    if any(getattr(one, name) != getattr(asked, name) for name in alike):
        return False
    try:
        return linking.holds(one, facts)
    except NotHereError:  # of its key; the one for new challenges is here
        return False


def _continue(
    challenge: Challenge, client: Client, now: datetime, mail_limits: rates.MailLimits
) -> Issued | OverCap | None:
    """Send one more mail if it may be. None if there is nothing to continue any more."""
    result = resending.try_resend(challenge, client, now, mail_limits)
    told = lookup.newest_mail(challenge.purpose, challenge.pk, challenge.owner)
    if isinstance(result, AlreadyUsed | Ended) or told is None:
        return None
    challenge, delivery, _ = told
    if isinstance(result, OverCap) and not lookup.can_be_typed(challenge, now):
        return result
    mailed = isinstance(result, Resent)
    issued = _issued(challenge, delivery, now, continued=True, mailed=mailed)
    retry_at = result.resend_at if isinstance(result, Resent) else result.retry_at
    return replace(issued, resend_at=retry_at or challenge.closes_at)


def _begin(
    challenge: Challenge,
    others: list[Challenge],
    client: Client,
    now: datetime,
    mail_limits: rates.MailLimits,
) -> Issued | OverCap:
    """Make a new challenge; the oldest of its purpose end if there are too many."""
    rules = settings.of(challenge.purpose)
    if refused := mail_limits.check(challenge.recipient, owner=challenge.owner):
        return refused
    for oldest in others[: max(0, len(others) + 1 - rules.OPEN_CHALLENGES)]:
        closing.close(oldest, ChallengeState.SUPERSEDED, now=now, client=client)
    _start(challenge, rules, now)
    told = audit.entries(AuditAction.ISSUED, challenge, now=now, client=client)
    return _issued(challenge, resending.enqueue_mail(challenge, challenge, *told, now=now), now)


Insert(Challenge)


def _start(challenge: Challenge, rules: Settings, now: datetime) -> None:
    challenge.nonce = secrets.token_bytes(derive.NONCE_BYTES)
    challenge.time_zone = zones.current(now)
    challenge.created_at = now
    challenge.expires_at = now + timedelta(seconds=rules.LIFE_SECONDS)
    challenge.closes_at = now + timedelta(seconds=max(rules.LIFE_SECONDS, rules.TOTAL_LIFE_SECONDS))
    challenge.resend_at = now + purposes.cool_down(challenge.purpose, 1)


def _issued(challenge: Challenge, delivery: Delivery, now: datetime, **own: bool) -> Issued:
    rules = settings.of(challenge.purpose)
    return lookup.view(
        Issued,
        challenge,
        delivery,
        now=now,
        challenge_id=challenge.pk,
        sends_left=max(0, rules.SENDS - challenge.sends),
        **own,
    )
