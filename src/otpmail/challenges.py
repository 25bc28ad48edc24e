"""The life of a code: `issue`, `resend`, `verify`, `cancel`; and how far its mail is: `status`.

In: a purpose, a subject (whose), an address, the facts it is bound to, who asks; later, what was
typed.
Out: results (``otpmail.results``). A person's mistake is a result; a fault is an exception.
Knows nothing of: HTTP, mail servers, when a mail is sent.

Nothing here waits for mail: a promise is two rows in the caller's transaction, and a hint to the
engine once they are committed.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F
from django.utils.translation import get_language
from django.views.decorators.debug import sensitive_variables

from otpmail import (
    audit,
    binding,
    budgets,
    codes,
    database,
    endings,
    keys,
    limits,
    messages,
    outbox,
    progress,
    promises,
    quotas,
    receipts,
    suppressions,
)
from otpmail.clients import NOBODY, Client
from otpmail.exceptions import InsideTransactionError, InvalidRecipientError
from otpmail.masking import mask
from otpmail.models import Challenge, Deed, Delivery, Lane, Reason, State
from otpmail.purposes import Purpose
from otpmail.results import (
    AlreadyUsed,
    Cancelled,
    Ended,
    Issued,
    Malformed,
    NotFound,
    OverCap,
    Resent,
    Status,
    Superseded,
    TooSoon,
    Verified,
    Wrong,
)
from otpmail.signals import delivery_refused, guess_failed

ADDRESS_LENGTH = 254
"""Characters of an address at most (RFC 5321, 4.5.3.1.3, less the angle brackets)."""


def issue(
    purpose: str,
    *,
    subject: str,
    recipient: str,
    facts: binding.Facts | None = None,
    context: Mapping[str, str] | None = None,
    client: Client = NOBODY,
    long: bool = False,
    decoy: bool = False,
) -> Issued | OverCap:
    """Promise a code to an address.

    ``subject`` is whose it is: only they can type it back. ``facts`` are what the code stands for
    (see ``otpmail.binding``), ``context`` is what the mail's templates show of it. ``client`` is
    who asks. ``long``: much is at stake. ``decoy``: the address is not known to you, and that is
    nobody's business: nothing is mailed, no code is right, and all else is the same. An address
    that is suppressed gets the same answer, and its delivery has failed.

    Joins the caller's transaction: what is rolled back was never promised, and counts for nothing.
    Raises `InvalidRecipientError`, and `ImproperlyConfigured` for facts that nothing can read again
    or for a decoy outside a purpose that is ``BEFORE_SIGN_IN``.
    """
    _check_address(recipient)
    rules, now = Purpose(purpose), database.now()
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
        binding=binding.digest(facts or {}),
        binding_version=binding.VERSION,
        key_id=keys.current().id,
        nonce=secrets.token_bytes(codes.NONCE_BYTES),
        is_decoy=decoy,
        digits=rules.digits(long=long),
        created_at=now,
        expires_at=now + rules.life,
        closes_at=now + max(rules.life, rules.total_life),
        resend_at=now + rules.cool_down(1),
    )
    # No savepoint: a promise that fails half-way takes the caller's transaction with it.
    with transaction.atomic(using=database.alias(), savepoint=False):
        refused = quotas.take_issue(subject, recipient, client, now)
        if refused is not None:
            return refused
        challenge.save(using=database.alias(), force_insert=True)
        audit.write(Deed.ISSUED, challenge, now=now, client=client)
        delivery = _promise_or_refuse(challenge, now)
    return Issued(
        challenge_id=challenge.id,
        reference=challenge.reference,
        recipient=mask(recipient),
        digits=challenge.digits,
        expires_at=challenge.expires_at,
        resend_at=challenge.resend_at,
        guesses_left=rules.guesses,
        sends_left=rules.sends - 1,
        delivery=progress.of(challenge, delivery, now=now),
    )


def resend(
    purpose: str, challenge_id: UUID, *, subject: str, client: Client = NOBODY
) -> Resent | TooSoon | OverCap | AlreadyUsed | Ended | NotFound:
    """Promise one more mail: the same code while it has life enough, else the next generation.

    Neither lengthens a code's life nor gives guesses back. Of two calls at once, one is taken.
    """
    rules, now = Purpose(purpose), database.now()
    challenge = _find(purpose, challenge_id, subject)
    if challenge is None:
        return NotFound()
    if challenge.state != State.PENDING or now >= challenge.closes_at:
        return _over(challenge, now)
    if keys.find(challenge.key_id) is None:  # revoked
        return _end(challenge, State.CANCELLED, now, client)
    if now < challenge.resend_at:
        return TooSoon(retry_at=challenge.resend_at)
    keeps = _keeps_code(challenge, rules, now)
    if keeps and challenge.sends >= rules.sends:
        # The older code may be on its way: it is not killed before it has to be.
        soon = challenge.expires_at - rules.keep_code
        return OverCap(retry_at=soon if _can_reissue(challenge, rules, soon) else None)
    if not keeps and not _can_reissue(challenge, rules, now):
        return OverCap(retry_at=None)
    return _resend(challenge, rules, now, client, keeps=keeps)


@sensitive_variables("typed", "code")
def verify(
    purpose: str,
    challenge_id: UUID,
    typed: str,
    *,
    subject: str,
    confirmed: Callable[[Challenge], None] | None = None,
    client: Client = NOBODY,
) -> Verified | Malformed | Wrong | Superseded | AlreadyUsed | Ended | NotFound:
    """Check what was typed, and consume the challenge if it is the code.

    1. The guess is counted, in a transaction of its own: no rollback, crash or race gives it back.
    2. The facts are read and locked, and compared with what the code is bound to.
    3. The code is derived and compared.
    4. The right one confirms the challenge, in one transaction with ``confirmed(challenge)``, which
       does what the code stood for, and may keep its receipt (``receipts.of(challenge)``). If that
       raises, the challenge stays pending.

    Raises `InsideTransactionError` inside ``atomic`` or ``ATOMIC_REQUESTS``: 1. could not hold.
    """
    challenge = _find(purpose, challenge_id, subject)
    if challenge is None:
        return NotFound()
    code = codes.normalise(typed, challenge.digits)
    if code is None:
        return Malformed(digits=challenge.digits)
    guess = _count_guess(challenge)
    if guess is None:
        with transaction.atomic(using=database.alias()):  # waits for whoever decides just now
            return _over(_locked(challenge_id), database.now())
    result = _decide(challenge_id, code, guess, confirmed, client)
    if isinstance(result, Wrong | Superseded):
        guess_failed.send_robust(
            sender=Challenge, challenge=challenge, guesses_left=result.guesses_left
        )
    return result


def cancel(
    purpose: str, challenge_id: UUID, *, subject: str, client: Client = NOBODY
) -> Cancelled | AlreadyUsed | Ended | NotFound:
    """End a pending challenge, and with it what it was bound to. Joins the caller's transaction."""
    challenge = _find(purpose, challenge_id, subject)
    if challenge is None:
        return NotFound()
    now = database.now()
    if endings.end(challenge, State.CANCELLED, now=now, client=client):
        return Cancelled()
    with transaction.atomic(using=database.alias()):  # a locking read: no snapshot of before
        return _over(_locked(challenge_id), now)


def status(purpose: str, challenge_id: UUID, *, subject: str) -> Status | NotFound:
    """Tell how far a challenge and its newest mail have come. Cheap enough to be polled."""
    rows = Delivery.objects.using(database.alias()).select_related("challenge")
    newest_first = rows.filter(
        challenge_id=challenge_id,
        challenge__purpose=purpose,
        challenge__subject=subject,
        generation=F("challenge__generation"),
    ).order_by("-created_at", "-pk")
    deliveries = list(newest_first)
    challenge, now = deliveries[0].challenge if deliveries else None, database.now()
    if challenge is None or not _is_mine(challenge, purpose, subject):
        return NotFound()
    return Status(
        state=State(challenge.state),
        reference=challenge.reference,
        recipient=mask(challenge.recipient),
        digits=challenge.digits,
        expires_at=challenge.expires_at,
        resend_at=challenge.resend_at,
        guesses_left=max(0, Purpose(purpose).guesses - challenge.failures),
        delivery=progress.of(challenge, progress.newest(deliveries), now=now),
    )


def send_again(delivery: Delivery, challenge: Challenge, *, avoid: str, now: datetime) -> bool:
    """Promise one more mail of a challenge's delivery, by another route; once a generation.

    Returns False if there is no other route, or the code is dead, or it was done before. Joins the
    caller's transaction, which has locked the challenge.
    """
    live = challenge.state == State.PENDING and challenge.generation == delivery.generation
    others = set(Purpose(challenge.purpose).routes) - {avoid}
    if not live or now >= delivery.deadline or not others:
        return False
    rows = Delivery.objects.using(database.alias()).filter(challenge=challenge)
    if rows.filter(generation=delivery.generation).exclude(avoid="").exists():
        return False
    _promise(challenge, now, avoid=avoid)
    return True


# For async views: the same calls, in the thread that Django keeps for a request's database work.
aissue = sync_to_async(issue)
aresend = sync_to_async(resend)
averify = sync_to_async(verify)
acancel = sync_to_async(cancel)
astatus = sync_to_async(status)


def _check_address(recipient: str) -> None:
    try:
        validate_email(recipient)
    except ValidationError:
        raise InvalidRecipientError("a code goes to exactly one e-mail address") from None
    if len(recipient) > ADDRESS_LENGTH:
        raise InvalidRecipientError(f"no address is longer than {ADDRESS_LENGTH} characters")


def _promise_or_refuse(challenge: Challenge, now: datetime) -> Delivery:
    if not suppressions.is_suppressed(challenge.recipient, now=now):
        return _promise(challenge, now)
    delivery = outbox.refuse(challenge, Reason.SUPPRESSED, now=now)

    def kept() -> None:
        delivery_refused.send_robust(sender=Delivery, delivery=delivery, challenge=challenge)

    transaction.on_commit(kept, using=database.alias(), robust=True)
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
    with transaction.atomic(using=database.alias()):
        if take(challenge, purpose=rules, now=now):
            refused = quotas.take_mail(challenge.recipient, client, now)
            if refused is not None:
                transaction.set_rollback(True, using=database.alias())
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
        challenge = _locked(challenge.pk)  # somebody was first: another click, or the end
    if challenge.state != State.PENDING:
        return _over(challenge, now)
    return TooSoon(retry_at=challenge.resend_at)


def _find(purpose: str, challenge_id: UUID, subject: str) -> Challenge | None:
    # Asked for whole: a row of somebody else's, read and thrown away, would take longer than none.
    rows = Challenge.objects.using(database.alias())
    challenge = rows.filter(pk=challenge_id, purpose=purpose, subject=subject).first()
    return challenge if challenge and _is_mine(challenge, purpose, subject) else None


def _is_mine(challenge: Challenge, purpose: str, subject: str) -> bool:
    # Compared again: a database's collation may hold 'alice' and 'ALICE' to be one.
    return (challenge.purpose, challenge.subject) == (purpose, subject)


def _keeps_code(challenge: Challenge, rules: Purpose, now: datetime) -> bool:
    has_life = challenge.expires_at - now >= rules.keep_code
    has_failures = challenge.failures >= rules.keep_code_failures
    return has_life and not has_failures and not rules.rotates


def _can_reissue(challenge: Challenge, rules: Purpose, when: datetime) -> bool:
    has_life = challenge.closes_at - when > rules.dead_mail
    has_guesses = challenge.failures < rules.guesses
    return has_life and has_guesses and challenge.generation < rules.generations


def _count_guess(challenge: Challenge) -> int | None:
    """Count the guess and commit. Returns which one it is, or None if none may be made."""
    rules, now = Purpose(challenge.purpose), database.now()
    connection = transaction.get_connection(database.alias())
    if not (connection.in_atomic_block or connection.get_autocommit()):
        raise InsideTransactionError("verify() commits by itself, so autocommit must be on")
    try:
        with transaction.atomic(using=database.alias(), durable=True):
            return limits.take_guess(challenge, purpose=rules, now=now)
    except RuntimeError as error:  # durable blocks refuse to be nested
        raise InsideTransactionError(
            "verify() must not run inside a transaction: a rollback would give the guess back. "
            "Call it outside atomic(); with ATOMIC_REQUESTS, mark the view @non_atomic_requests."
        ) from error


def _locked(challenge_id: UUID) -> Challenge:
    rows = Challenge.objects.using(database.alias()).select_for_update()
    return rows.get(pk=challenge_id)


@sensitive_variables("typed", "code")
def _decide(
    challenge_id: UUID,
    typed: str,
    guess: int,
    confirmed: Callable[[Challenge], None] | None,
    client: Client,
) -> Verified | Wrong | Superseded | AlreadyUsed | Ended:
    with transaction.atomic(using=database.alias(), durable=True):
        challenge, now = _locked(challenge_id), database.now()
        if challenge.state != State.PENDING or now >= challenge.expires_at:
            return _over(challenge, now)
        if messages.is_changed(challenge, lock=True):
            return _end(challenge, State.CHANGED, now, client)
        code = messages.code_of(challenge)
        if code is None:  # its key was revoked
            return _end(challenge, State.CANCELLED, now, client)
        if not codes.compare(code, typed) or challenge.is_decoy:
            return _wrong(challenge, typed, guess, now, client)
        if not endings.end(
            challenge, State.CONFIRMED, now=now, client=client, failures=F("failures") - 1
        ):
            return _over(_locked(challenge_id), now)
        # Before the deed: whoever issues in a transaction of theirs takes the counters first too.
        budgets.give_back(challenge.subject)
        quotas.remember(challenge.recipient, client, now)
        if confirmed is not None:
            confirmed(challenge)
        return Verified(confirmed_at=now, receipt=receipts.of(challenge))


@sensitive_variables("typed", "older")
def _wrong(
    challenge: Challenge, typed: str, guess: int, now: datetime, client: Client
) -> Wrong | Superseded | Ended:
    budgets.enforce(challenge.subject, now)
    audit.write(Deed.WRONG, challenge, now=now, client=client)
    rules = Purpose(challenge.purpose)
    if guess >= rules.guesses:  # by its own number: a later one may be looked at, and be right
        return _end(challenge, State.EXHAUSTED, now, client)
    left = max(0, rules.guesses - challenge.failures)
    older = [codes.compare(code, typed) for code in messages.older_codes_of(challenge)]
    if any(older):
        return Superseded(guesses_left=left, can_resend=_can_reissue(challenge, rules, now))
    return Wrong(guesses_left=left)


def _end(challenge: Challenge, state: State, now: datetime, client: Client) -> Ended:
    endings.end(challenge, state, now=now, client=client)
    return Ended(state=state)


def _over(challenge: Challenge, now: datetime) -> AlreadyUsed | Ended:
    """Say why a challenge takes no code now."""
    if challenge.state == State.CONFIRMED and challenge.ended_at is not None:
        return AlreadyUsed(confirmed_at=challenge.ended_at)
    if challenge.state != State.PENDING:
        return Ended(state=State(challenge.state))
    rules = Purpose(challenge.purpose)
    if challenge.failures >= rules.guesses:
        return Ended(state=State.EXHAUSTED)
    return Ended(state=State.EXPIRED, can_resend=_can_reissue(challenge, rules, now))
